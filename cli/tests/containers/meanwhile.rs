//! What happens while files are compressed or restored.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::common::{begun, exists, read, said, tree, well};
use crate::support::Space;

/// Bytes that take zstd a while: it finds a little everywhere.
fn slow_bytes(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let numbers = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        b'a' + (state >> 60) as u8
    });
    numbers.take(bytes).collect()
}

/// Waits until something was written of what a child puts out.
fn until_written(space: &Space, child: &mut Child) {
    let began = Instant::now();
    while !begun(space).iter().any(|(_, bytes)| *bytes > 0) {
        assert!(began.elapsed() < Duration::from_secs(60));
        if let Some(status) = child.try_wait().unwrap() {
            panic!("it ended too early: {status}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Compresses slowly, 16 MiB at a time.
const SLOWLY: [&str; 8] = [
    "compress",
    "large",
    "-o",
    "large.llmcl",
    "--threads",
    "1",
    "--method",
    "zstd_12",
];

#[test]
fn an_interrupted_compression_leaves_nothing() {
    let space = Space::bare();
    fs::write(space.path("large"), slow_bytes(64 << 20)).unwrap();
    for force in [false, true] {
        let mut arguments = SLOWLY.to_vec();
        if force {
            space.write("large.llmcl", "precious");
            arguments.push("--force");
        }
        let mut child = space.command(&arguments).spawn().unwrap();
        until_written(&space, &mut child);
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        match force {
            true => assert_eq!(read(&space, "large.llmcl"), b"precious"),
            false => assert!(!exists(&space, "large.llmcl")),
        }
        assert_eq!(begun(&space), []);
    }
}

#[test]
fn an_interrupted_restoration_leaves_all_or_nothing() {
    let space = Space::bare();
    for number in 0..12 {
        fs::create_dir_all(space.path("model")).unwrap();
        let bytes = slow_bytes((4 << 20) + number);
        fs::write(space.path(&format!("model/{number}")), bytes).unwrap();
    }
    well(
        &space,
        &[
            "compress",
            "model",
            "-o",
            "model.llmcl",
            "--method",
            "zstd_1",
        ],
    );
    let decompress = [
        "decompress",
        "model.llmcl",
        "-o",
        "restored",
        "--threads",
        "1",
    ];
    let mut child = space.command(&decompress).spawn().unwrap();
    until_written(&space, &mut child);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    match output.status.code() {
        Some(130) => assert!(!exists(&space, "restored")),
        // It was faster than the signal.
        Some(0) => assert!(tree(&space.path("restored")) == tree(&space.path("model"))),
        code => panic!("{code:?}: {}", said(&output)),
    }
    assert_eq!(begun(&space), []);
}

/// Whoever is told that all went well removes the original.
#[test]
fn what_changes_meanwhile_is_refused_or_can_be_restored() {
    let space = Space::bare();
    let bytes = slow_bytes(40 << 20);
    fs::write(space.path("large"), &bytes).unwrap();
    let mut child = space.command(&SLOWLY).spawn().unwrap();
    until_written(&space, &mut child);
    // Its end has not been reached; the length stays.
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(space.path("large"))
        .unwrap();
    file.seek(SeekFrom::End(-1)).unwrap();
    file.write_all(b"!").unwrap();
    drop(file);
    let compressed = child.wait_with_output().unwrap();
    if compressed.status.success() {
        let restored = space.call(&["decompress", "large.llmcl", "-o", "restored"]);
        assert!(
            restored.status.success(),
            "compressed well, and lost: {}",
            said(&restored)
        );
    }
    assert_eq!(begun(&space), []);
}
