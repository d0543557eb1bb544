//! What was compressed comes back: files, folders, tensors and parts of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use llmcl_codecs::formats::{gguf, safetensors};

use crate::common::{
    EMBD, KEY, LINEAR, MINILM, QWEN, WHISPER, begun, exists, read, refused, said, tree, well,
    with_header,
};
use crate::support::Space;

#[test]
fn files_come_back() {
    let space = Space::new();
    for file in [MINILM, WHISPER, QWEN, "fixtures/manifest.toml"] {
        let original = read(&space, file);
        for method in [
            &[][..],
            &["--method", "exponent_static"],
            &["--method", "zstd_3"],
        ] {
            let arguments = [&["compress", file, "-o", "model.llmcl"], method].concat();
            let told = said(&well(&space, &arguments));
            assert!(told.contains("a ratio of"), "{told}");
            assert!(read(&space, "model.llmcl").len() < original.len());
            well(&space, &["decompress", "model.llmcl", "-o", "restored"]);
            assert!(read(&space, "restored") == original, "{file} {method:?}");
            fs::remove_file(space.path("model.llmcl")).unwrap();
            fs::remove_file(space.path("restored")).unwrap();
        }
        assert!(read(&space, file) == original);
    }
    assert_eq!(begun(&space), []);
    assert!(!space.store().exists());
}

#[test]
fn weights_become_smaller() {
    let space = Space::new();
    for (file, most) in [(MINILM, 0.70), (WHISPER, 0.90)] {
        well(&space, &["compress", file, "-o", "model.llmcl", "--force"]);
        let ratio = read(&space, "model.llmcl").len() as f64 / read(&space, file).len() as f64;
        assert!(ratio < most, "{file}: {ratio}");
    }
}

#[test]
fn nothing_comes_back_too() {
    let space = Space::bare();
    fs::write(space.path("empty"), "").unwrap();
    well(&space, &["compress", "empty", "-o", "empty.llmcl"]);
    well(&space, &["decompress", "empty.llmcl", "-o", "restored"]);
    assert!(read(&space, "restored").is_empty());
    fs::create_dir(space.path("folder")).unwrap();
    well(&space, &["compress", "folder", "-o", "folder.llmcl"]);
    well(
        &space,
        &["decompress", "folder.llmcl", "-o", "restored.folder"],
    );
    assert!(tree(&space.path("restored.folder")).is_empty());
    well(&space, &["inspect", "folder.llmcl"]);
}

#[test]
fn folders_come_back_with_what_links_lead_to() {
    let space = Space::new();
    space.write("model/config.json", "{}");
    space.write("model/empty", "");
    space.write("model/onnx/deep/notes.txt", "Words.");
    space.write("blobs/1/more.txt", "More words.");
    symlink(space.path(MINILM), space.path("model/model.safetensors")).unwrap();
    symlink("../blobs/1", space.path("model/linked")).unwrap();
    well(&space, &["compress", "model", "-o", "model.llmcl"]);
    well(&space, &["decompress", "model.llmcl", "-o", "restored"]);
    let restored = tree(&space.path("restored"));
    assert!(restored == tree(&space.path("model")));
    assert_eq!(restored.len(), 5);
    assert!(restored[Path::new("model.safetensors")] == read(&space, MINILM));
    let is_link = |path: &str| space.path(path).symlink_metadata().unwrap().is_symlink();
    assert!(!is_link("restored/model.safetensors") && !is_link("restored/linked"));
    // A link as the input itself, and one to a folder.
    symlink(space.path("model"), space.path("link")).unwrap();
    well(&space, &["compress", "link", "-o", "linked.llmcl"]);
    assert!(read(&space, "linked.llmcl") == read(&space, "model.llmcl"));
    assert_eq!(begun(&space), []);
}

#[test]
fn tensors_and_ranges_of_them_are_slices() {
    let space = Space::new();
    for (file, name) in [(MINILM, KEY), (WHISPER, LINEAR)] {
        let original = read(&space, file);
        let tensors = safetensors::read(&original).unwrap().tensors;
        let found = tensors.iter().find(|tensor| tensor.name == name).unwrap();
        let data = found.view(&original).unwrap().data;
        well(&space, &["compress", file, "-o", "model.llmcl", "--force"]);
        let get = |range: &[&str]| {
            let mut arguments = vec!["decompress", "model.llmcl", "--tensor", name, "-o", "part"];
            arguments.extend(range);
            arguments.push("--force");
            well(&space, &arguments);
            read(&space, "part")
        };
        assert!(get(&[]) == data);
        let elements = data.len() / 2;
        for range in [0..0, 0..1, 5..1024, elements - 1..elements, 0..elements] {
            let text = format!("{}..{}", range.start, range.end);
            let part = get(&["--range", &text]);
            assert!(part == data[2 * range.start..2 * range.end], "{text}");
        }
        for (range, reason) in [
            ("5..4", "has the elements 0.."),
            ("0..999999999", "has the elements 0.."),
            ("0..18446744073709551615", "has the elements 0.."),
            ("0..18446744073709551616", "two numbers"),
            ("-1..4", "two numbers"),
            ("7", "two numbers"),
            ("0..=7", "two numbers"),
            ("..", "two numbers"),
        ] {
            let range = format!("--range={range}");
            let arguments = [
                "decompress",
                "model.llmcl",
                "--tensor",
                name,
                "-o",
                "none",
                &range,
            ];
            let told = refused(&space, &arguments, 2);
            assert!(told.contains(reason), "{range}: {told}");
        }
    }
    let none = [
        "decompress",
        "model.llmcl",
        "--tensor",
        "none",
        "-o",
        "none",
    ];
    let told = refused(&space, &none, 2);
    assert!(
        told.contains("no tensor \"none\"") && told.contains("inspect"),
        "{told}"
    );
    refused(
        &space,
        &["decompress", "model.llmcl", "--range", "0..1", "-o", "none"],
        2,
    );
    assert!(!exists(&space, "none"));
    assert_eq!(begun(&space), []);
}

#[test]
fn ranges_of_half_bytes_begin_and_end_with_one() {
    let space = Space::bare();
    let header = r#"{"fours":{"dtype":"F4","shape":[6],"data_offsets":[0,3]}}"#;
    fs::write(space.path("model"), with_header(header, &[1, 2, 3])).unwrap();
    well(&space, &["compress", "model", "-o", "model.llmcl"]);
    let arguments = |range| {
        [
            "decompress",
            "model.llmcl",
            "--tensor",
            "fours",
            "-o",
            "part",
            "--range",
            range,
        ]
    };
    let told = refused(&space, &arguments("1..4"), 2);
    assert!(told.contains("begin and end with a byte"), "{told}");
    refused(&space, &arguments("0..7"), 2);
    well(&space, &arguments("2..6"));
    assert_eq!(read(&space, "part"), [2, 3]);
}

#[test]
fn ranges_of_blocks_begin_and_end_with_one() {
    let space = Space::new();
    let original = read(&space, QWEN);
    let file = gguf::read(&original).unwrap();
    let embd = file.tensors.iter().find(|tensor| tensor.name == EMBD);
    let start = embd.unwrap().offset as usize;
    well(&space, &["compress", QWEN, "-o", "model.llmcl"]);
    let arguments = |range| {
        [
            "decompress",
            "model.llmcl",
            "--tensor",
            EMBD,
            "-o",
            "part",
            "--range",
            range,
        ]
    };
    let told = refused(&space, &arguments("0..33"), 2);
    assert!(told.contains("32 at a time"), "{told}");
    // Blocks of 32 take 22 bytes.
    well(&space, &arguments("32..96"));
    assert_eq!(read(&space, "part"), original[start + 22..start + 66]);
    let all = 128 * 896;
    let told = refused(&space, &arguments(&format!("0..{}", all + 32)), 2);
    assert!(told.contains(&format!("0..{all}")), "{told}");
}

#[test]
fn inspect_lists_every_tensor() {
    let space = Space::new();
    well(&space, &["compress", "fixtures", "-o", "model.llmcl"]);
    let output = well(&space, &["inspect", "model.llmcl"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for (path, files) in tree(&space.path("fixtures")) {
        let line = text
            .lines()
            .find(|line| line.starts_with(path.to_str().unwrap()));
        assert!(line.unwrap().contains("BLAKE3"), "{line:?}");
        let Ok(file) = safetensors::read(&files) else {
            continue;
        };
        for tensor in file.tensors {
            let mut lines = text.lines();
            let line = lines.find(|line| line.split_whitespace().next() == Some(&tensor.name));
            let cells: Vec<&str> = line.unwrap().split_whitespace().collect();
            let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
            assert_eq!(cells[1..3], [tensor.dtype.name(), &shape.join("×")]);
            assert_eq!(cells[3], tensor.bytes.to_string());
            assert_eq!(cells[6..], ["exponent_mantissa_scaled", "1"]);
        }
    }
    assert!(text.contains("(other bytes)"));
    // Nobody who looks changes anything.
    let before = read(&space, "model.llmcl");
    well(&space, &["inspect", "model.llmcl"]);
    assert!(read(&space, "model.llmcl") == before);
}

/// Names come from whoever made the file, and a terminal does what it is told.
#[test]
fn inspect_counts_tables() {
    let space = Space::new();
    let model = "fixtures/qwen2.5-coder-q4_k_m.gguf";
    let compress = ["compress", model, "-o", "model.llmcl", "--method"];
    well(&space, &[&compress[..], &["block_static"]].concat());
    let output = well(&space, &["inspect", "model.llmcl"]);
    let listed = String::from_utf8(output.stdout).unwrap();
    // After it come the ratio, the method and the number of chunks.
    let encoded = listed.lines().skip(2).map(|line| {
        let cell = line.split_whitespace().nth_back(3);
        cell.unwrap().parse::<u64>().unwrap()
    });
    // The rest are names, shapes and checksums.
    let rest = read(&space, "model.llmcl").len() as u64 - encoded.sum::<u64>();
    assert!((200..1000).contains(&rest), "{rest} in\n{listed}");
}

#[test]
fn inspect_does_not_let_names_speak_to_the_terminal() {
    let space = Space::bare();
    let header = r#"{"a\nb":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
        "red\u001b[31m":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
    fs::write(space.path("model"), with_header(header, &[1, 2])).unwrap();
    well(&space, &["compress", "model", "-o", "model.llmcl"]);
    let output = well(&space, &["inspect", "model.llmcl", "--color", "always"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}'), "{text:?}");
    // Columns, the file, the header, the two tensors.
    assert_eq!(text.lines().count(), 5, "{text:?}");
}

#[test]
fn threads_change_no_byte() {
    let space = Space::new();
    for threads in ["1", "2", "3"] {
        let (container, folder) = (format!("{threads}.llmcl"), format!("{threads}.restored"));
        let threads = ["--threads", threads];
        let compress = ["compress", "fixtures", "-o", &container];
        well(&space, &[&compress[..], &threads].concat());
        let decompress = ["decompress", &container, "-o", &folder];
        well(&space, &[&decompress[..], &threads].concat());
        assert!(read(&space, &container) == read(&space, "1.llmcl"));
        assert!(tree(&space.path(&folder)) == tree(&space.path("fixtures")));
    }
    for threads in ["0", "-1", "257", "100000", "many"] {
        let threads = format!("--threads={threads}");
        refused(&space, &["compress", MINILM, "-o", "x", &threads], 2);
    }
}

#[test]
fn what_is_not_sound_is_told_and_comes_back() {
    let space = Space::new();
    let mut cut = read(&space, MINILM);
    cut.truncate(100_000);
    fs::create_dir(space.path("model")).unwrap();
    fs::write(space.path("model/cut.safetensors"), &cut).unwrap();
    let told = said(&well(&space, &["compress", "model", "-o", "model.llmcl"]));
    assert!(told.contains("warning: cut.safetensors"), "{told}");
    well(&space, &["decompress", "model.llmcl", "-o", "restored"]);
    assert!(read(&space, "restored/cut.safetensors") == cut);
}

#[test]
fn a_profile_is_asked_for_and_told_by_its_digest() {
    let space = Space::new();
    let original = read(&space, MINILM);
    let tensors = safetensors::read(&original).unwrap().tensors;
    let views: Vec<_> = tensors
        .iter()
        .filter_map(|one| one.view(&original))
        .collect();
    let method = "exponent_mantissa_profiled";
    let mut families = llmcl_codecs::methods::FAMILIES.iter();
    let profile = families.find_map(|family| family.train(method, &views));
    fs::write(space.path("profile"), profile.unwrap().unwrap()).unwrap();
    let compress = ["compress", MINILM, "-o", "model.llmcl", "--method", method];
    let told = refused(&space, &compress, 2);
    assert!(told.contains("needs a profile"), "{told}");
    refused(&space, &[&compress[..], &["--profile", MINILM]].concat(), 2);
    refused(
        &space,
        &[&compress[..], &["--profile", "nowhere"]].concat(),
        20,
    );
    let other = [
        "compress",
        MINILM,
        "-o",
        "model.llmcl",
        "--profile",
        "profile",
    ];
    let told = refused(&space, &other, 2);
    assert!(told.contains("uses no profile"), "{told}");
    assert!(!exists(&space, "model.llmcl"));
    well(&space, &[&compress[..], &["--profile", "profile"]].concat());
    let decompress = ["decompress", "model.llmcl", "-o", "restored"];
    for profiles in [&[][..], &["--profile", MINILM]] {
        let told = refused(&space, &[&decompress[..], profiles].concat(), 20);
        assert!(told.contains("BLAKE3 digest"), "{told}");
        refused(
            &space,
            &[&["inspect", "model.llmcl"][..], profiles].concat(),
            20,
        );
    }
    assert!(!exists(&space, "restored"));
    let both = ["--profile", MINILM, "--profile", "profile"];
    well(&space, &[&decompress[..], &both].concat());
    assert!(read(&space, "restored") == original);
    assert_eq!(begun(&space), []);
}
