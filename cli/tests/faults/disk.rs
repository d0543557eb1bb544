//! Disks that are full, read-only, or have no more file handles to give. Where mounting is possible, which takes
//! root or a user namespace, the disk is a real one; else the layer stands for it, and the test says so.

use std::process::Command;

use crate::damage::blob_of;
use crate::engine::Told;
use crate::lab::{FILE, Lab, truth};
use crate::layer::{Errno, Refusal};
use crate::ledger::Ledger;

/// The file systems of the lab's disk: a command after some shell commands, in which `$disk` is the lab's disk.
fn after(lab: &Lab, setup: &str, command: &Command) -> Command {
    let mut inside = Command::new("unshare");
    inside
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg(format!(
            "disk={}; {setup}; exec \"$0\" \"$@\"",
            lab.disk().display()
        ))
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(lab.path(""));
    for (name, value) in command.get_envs() {
        inside.env(name, value.unwrap_or_default());
    }
    inside.env_remove("RUST_LOG");
    inside
}

/// Whether file systems can be mounted here.
fn can_mount() -> bool {
    let works = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=64k none /mnt && touch /mnt/file")
        .output()
        .is_ok_and(|output| output.status.success());
    let how = if works {
        "really mounted"
    } else {
        "played by the layer: mounting is not possible here"
    };
    println!("the disk is {how}");
    works
}

#[test]
fn a_full_disk_is_told_and_with_room_the_next_run_goes_on() {
    let mounts = can_mount();
    let limits = [
        "size=40k",
        "size=90k",
        "size=160k",
        "nr_inodes=24",
        "nr_inodes=32",
    ];
    for (number, limit) in limits.iter().enumerate() {
        let lab = Lab::new();
        let mut ledger = Ledger::default();
        let full = if mounts {
            // What the full disk holds is copied out, to be there when it is gone.
            let setup = format!(
                "mount -t tmpfs -o {limit} none \"$disk\" || exit 99; \
                 \"$0\" \"$@\" >told.jsonl 2>told.txt; code=$?; mkdir kept; cp -a \"$disk\"/. kept; exit $code"
            );
            let output = after(&lab, &setup, &lab.run_command(FILE, &["-j", "2"]))
                .output()
                .unwrap();
            std::fs::remove_dir(lab.disk()).unwrap();
            std::fs::rename(lab.path("kept"), lab.disk()).unwrap();
            let mut told = Told {
                code: output.status.code(),
                messages: std::fs::read_to_string(lab.path("told.txt")).unwrap(),
                ..Told::default()
            };
            for line in std::fs::read_to_string(lab.path("told.jsonl"))
                .unwrap()
                .lines()
            {
                told.hear(&serde_json::from_str(line).unwrap());
            }
            told
        } else {
            let mut command = lab.run_command(FILE, &["-j", "2"]);
            let refusal = Refusal {
                operation: "change",
                at: 20 + 10 * number,
                on: true,
                errno: Errno::Enospc,
            };
            refusal.arm(&lab, &mut command);
            lab.start(&command).finish()
        };
        // A program that finds its own disk full fails like any other.
        assert!(matches!(full.code, Some(10 | 21)), "{limit}: {full:#?}");
        let messages = format!("{:?} {}", full.failed, full.messages);
        assert!(
            messages.contains("No space left on device") || messages.contains("I/O error"),
            "{limit}: {messages}"
        );
        ledger.hear_one(&full);
        let told = lab.run().well();
        ledger.hear_one(&told);
        truth().hold_whole(&told);
    }
}

#[test]
fn a_read_only_store_serves_what_it_has_and_says_what_it_cannot_take() {
    let mounts = can_mount();
    let lab = Lab::new();
    lab.run().well();
    let run = || {
        let mut command = lab.run_command(FILE, &[]);
        let command = if mounts {
            let setup =
                "mount --bind \"$disk\" \"$disk\" && mount -o remount,bind,ro \"$disk\" || exit 99";
            after(&lab, setup, &command)
        } else {
            let refusal = Refusal {
                operation: "change",
                at: 1,
                on: true,
                errno: Errno::Erofs,
            };
            refusal.arm(&lab, &mut command);
            command
        };
        lab.start(&command).finish()
    };
    let told = run().well();
    truth().hold_whole(&told);
    assert!(told.executed().is_empty());
    lab.write_seed("another seed");
    let told = run();
    assert_eq!(told.code, Some(21), "{told:#?}");
    assert!(
        told.failed["join"].contains("Read-only file system"),
        "{told:#?}"
    );
    let told = lab.run().well();
    assert_eq!(told.executed(), ["join".to_owned()].into());
}

#[test]
fn a_process_without_file_handles_says_so_and_the_next_run_goes_on() {
    for handles in [8, 12, 16, 20, 24, 32] {
        let lab = Lab::new();
        let mut ledger = Ledger::default();
        let engine = lab.run_command(FILE, &["-j", "8"]);
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -n {handles}; exec \"$0\" \"$@\"")])
            .arg(engine.get_program())
            .args(engine.get_args())
            .current_dir(lab.path(""));
        for (name, value) in engine.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.env_remove("RUST_LOG");
        let told = lab.start(&command).finish();
        assert!(
            matches!(told.code, Some(0 | 10 | 21)),
            "{handles}: {told:#?}"
        );
        if told.code != Some(0) {
            let messages = format!("{:?} {}", told.failed, told.messages);
            assert!(
                messages.contains("Too many open files"),
                "{handles}: {messages}"
            );
        }
        truth().hold(&told);
        ledger.hear_one(&told);
        let told = lab.run().well();
        ledger.hear_one(&told);
        truth().hold_whole(&told);
    }
}

#[test]
fn what_cannot_be_read_is_done_again() {
    for of_blob in [true, false] {
        for errno in [Errno::Eacces, Errno::Eio] {
            let lab = Lab::new();
            let told = lab.run().well();
            // A blob is unreadable once, and then made again; the segments are as long as the run lasts.
            let blob = blob_of(&lab, &told, "work/part_0");
            let path = if of_blob {
                blob.to_str().unwrap()
            } else {
                "/records/"
            };
            lab.write_seed("seed that reads");
            let mut command = lab.run_command(FILE, &[]);
            let refusal = Refusal {
                operation: "open",
                at: 1,
                on: !of_blob,
                errno,
            };
            refusal.arm(&lab, &mut command);
            command.env("LLMCL_LAYER_PATH", path);
            let told = lab.start(&command).finish().well();
            assert!(!told.notices.is_empty(), "{path} {errno:?}: {told:#?}");
            let told = lab.run().well();
            assert!(told.executed().is_empty(), "{path} {errno:?}: {told:#?}");
            lab.write_seed("seed");
            truth().hold_whole(&lab.run().well());
        }
    }
}
