//! What cannot be done says so by its exit code, and leaves no trace.

use std::fs;
use std::os::unix::fs::symlink;

use crate::common::{
    KEY, LINEAR, MINILM, WHISPER, begun, damage, exists, read, refused, tree, well,
};
use crate::support::Space;

#[test]
fn links_that_lead_nowhere_are_twenty() {
    let space = Space::bare();
    space.write("broken/a", "a");
    symlink("nowhere", space.path("broken/link")).unwrap();
    let told = refused(&space, &["compress", "broken", "-o", "x.llmcl"], 20);
    assert!(told.contains("link"), "{told}");
    // Two circles, which would be four billion folders if nobody counted.
    space.write("round/a", "a");
    symlink(".", space.path("round/b")).unwrap();
    symlink(".", space.path("round/c")).unwrap();
    let told = refused(&space, &["compress", "round", "-o", "x.llmcl"], 20);
    assert!(told.contains("nested too deeply"), "{told}");
    assert!(!exists(&space, "x.llmcl"));
    assert_eq!(begun(&space), []);
}

#[test]
fn a_tensor_of_two_files_is_not_chosen_from() {
    let space = Space::new();
    fs::create_dir(space.path("model")).unwrap();
    fs::copy(space.path(WHISPER), space.path("model/a")).unwrap();
    fs::copy(space.path(WHISPER), space.path("model/b")).unwrap();
    well(&space, &["compress", "model", "-o", "model.llmcl"]);
    let arguments = [
        "decompress",
        "model.llmcl",
        "--tensor",
        LINEAR,
        "-o",
        "part",
    ];
    let told = refused(&space, &arguments, 2);
    assert!(told.contains("\"a\" and \"b\""), "{told}");
}

#[test]
fn nothing_is_replaced_without_force() {
    let space = Space::new();
    let compress = ["compress", MINILM, "-o", "model.llmcl"];
    let decompress = ["decompress", "model.llmcl", "-o", "restored"];
    let tensor = [
        "decompress",
        "model.llmcl",
        "-o",
        "restored",
        "--tensor",
        KEY,
    ];
    space.write("model.llmcl", "precious");
    let told = refused(&space, &compress, 2);
    assert!(told.contains("--force"), "{told}");
    assert_eq!(read(&space, "model.llmcl"), b"precious");
    well(&space, &[&compress[..], &["--force"]].concat());
    for arguments in [&decompress[..], &tensor] {
        space.write("restored", "precious");
        let told = refused(&space, arguments, 2);
        assert!(told.contains("--force"), "{told}");
        assert_eq!(read(&space, "restored"), b"precious");
        well(&space, &[arguments, &["-f"]].concat());
        assert!(read(&space, "restored").len() > 1000);
    }
    // A link that leads nowhere is something too, and so is a folder.
    symlink("nowhere", space.path("dangling")).unwrap();
    refused(&space, &["decompress", "model.llmcl", "-o", "dangling"], 2);
    assert!(!exists(&space, "nowhere"));
    fs::create_dir(space.path("folder")).unwrap();
    for force in [&[][..], &["--force"]] {
        let into = ["decompress", "model.llmcl", "-o", "folder"];
        refused(&space, &[&into[..], force].concat(), 2);
        let into = ["compress", MINILM, "-o", "folder"];
        refused(&space, &[&into[..], force].concat(), 2);
    }
    assert_eq!(begun(&space), []);
}

#[test]
fn no_folder_with_anything_in_it_is_replaced() {
    let space = Space::new();
    space.write("model/a", "a");
    space.write("model/b/c", "c");
    well(&space, &["compress", "model", "-o", "model.llmcl"]);
    let decompress = ["decompress", "model.llmcl", "-o", "restored"];
    let with_force = [&decompress[..], &["--force"]].concat();
    space.write("restored/old", "precious");
    for arguments in [&decompress[..], &with_force] {
        let told = refused(&space, arguments, 2);
        assert!(told.contains("no empty folder"), "{told}");
        assert_eq!(read(&space, "restored/old"), b"precious");
    }
    // There is nothing to lose in an empty one.
    fs::remove_dir_all(space.path("restored")).unwrap();
    fs::create_dir(space.path("restored")).unwrap();
    well(&space, &decompress);
    assert!(tree(&space.path("restored")) == tree(&space.path("model")));
    // A file is no folder.
    fs::remove_dir_all(space.path("restored")).unwrap();
    space.write("restored", "precious");
    refused(&space, &decompress, 2);
    refused(&space, &with_force, 2);
    assert_eq!(read(&space, "restored"), b"precious");
    assert_eq!(begun(&space), []);
}

#[test]
fn what_is_damaged_does_not_appear() {
    let space = Space::new();
    well(&space, &["compress", MINILM, "-o", "model.llmcl"]);
    damage(&space, "model.llmcl", KEY);
    let decompress = ["decompress", "model.llmcl", "-o", "restored"];
    let tensor = [
        "decompress",
        "model.llmcl",
        "-o",
        "restored",
        "--tensor",
        KEY,
    ];
    let place = format!("chunk 0 of tensor \"{KEY}\" of \"minilm-attention-bf16.safetensors\"");
    for arguments in [&decompress[..], &tensor] {
        let told = refused(&space, arguments, 10);
        assert!(
            told.contains("in model.llmcl:") && told.contains(&place),
            "{told}"
        );
        assert!(!exists(&space, "restored"));
        // What was there before is there still.
        space.write("restored", "precious");
        refused(&space, &[arguments, &["--force"]].concat(), 10);
        assert_eq!(read(&space, "restored"), b"precious");
        fs::remove_file(space.path("restored")).unwrap();
    }
    // Another tensor is none of its business.
    let other = KEY.replace("key", "query");
    well(
        &space,
        &[
            "decompress",
            "model.llmcl",
            "-o",
            "other",
            "--tensor",
            &other,
        ],
    );
    assert_eq!(begun(&space), []);
}

#[test]
fn no_part_of_a_damaged_folder_appears() {
    let space = Space::new();
    well(&space, &["compress", "fixtures", "-o", "model.llmcl"]);
    damage(&space, "model.llmcl", KEY);
    let decompress = ["decompress", "model.llmcl", "-o", "restored"];
    let told = refused(&space, &decompress, 10);
    assert!(told.contains(KEY), "{told}");
    assert!(!exists(&space, "restored"));
    fs::create_dir(space.path("restored")).unwrap();
    refused(&space, &decompress, 10);
    assert_eq!(tree(&space.path("restored")).len(), 0);
    assert_eq!(begun(&space), []);
}

#[test]
fn what_is_no_container_is_ten() {
    let space = Space::new();
    well(&space, &["compress", WHISPER, "-o", "model.llmcl"]);
    let sound = read(&space, "model.llmcl");
    let mut later = sound.clone();
    later[8] = 3;
    let mut other = sound.clone();
    other[8] = 2;
    let twice = [sound.as_slice(), &sound].concat();
    for (bytes, reason) in [
        (&b""[..], "no container"),
        (b"GGUF and more than that", "no container"),
        (&sound[..10], "cut off"),
        (&sound[..sound.len() / 2], "cut off"),
        (&sound[..sound.len() - 1], "cut off"),
        (&twice, "place of the index"),
        (&later, "version 3"),
        (&other, "no tensor is given another"),
    ] {
        fs::write(space.path("other"), bytes).unwrap();
        let told = refused(&space, &["decompress", "other", "-o", "restored"], 10);
        assert!(
            told.contains(reason) && told.contains("in other:"),
            "{told}"
        );
        refused(&space, &["inspect", "other"], 10);
    }
    assert!(!exists(&space, "restored"));
    assert_eq!(begun(&space), []);
}

#[test]
fn methods_that_are_none_are_told() {
    let space = Space::new();
    for method in [
        "xz_6",
        "byte_split_zstd_3",
        "zstd_23",
        "zstd",
        "",
        "exponent",
    ] {
        let method = format!("--method={method}");
        let arguments = ["compress", MINILM, "-o", "model.llmcl", &method];
        let told = refused(&space, &arguments, 2);
        assert!(told.contains("no method"), "{told}");
        for known in ["exponent_static", "exponent_mantissa_scaled", "zstd_N"] {
            assert!(told.contains(known), "{told}");
        }
    }
    assert!(!exists(&space, "model.llmcl"));
    assert_eq!(begun(&space), []);
}

#[test]
fn inputs_that_are_missing_are_twenty() {
    let space = Space::bare();
    for arguments in [
        &["compress", "nowhere", "-o", "out"][..],
        &["compress", "nowhere/else", "-o", "out"],
        &["decompress", "nowhere", "-o", "out"],
        &["decompress", "nowhere", "-o", "out", "--tensor", "a"],
        &["decompress", ".", "-o", "out"],
        &["inspect", "nowhere"],
        &["inspect", "."],
    ] {
        let told = refused(&space, arguments, 20);
        assert!(told.contains(arguments[1]), "{told}");
    }
    assert!(!exists(&space, "out"));
    assert_eq!(begun(&space), []);
}

#[test]
fn outputs_that_have_no_place_are_twenty_one() {
    let space = Space::new();
    space.write("model/a", "a");
    well(&space, &["compress", WHISPER, "-o", "file.llmcl"]);
    well(&space, &["compress", "model", "-o", "folder.llmcl"]);
    for arguments in [
        &["compress", WHISPER, "-o", "none/out"][..],
        &["compress", WHISPER, "-o", "file.llmcl/out"],
        &["decompress", "file.llmcl", "-o", "none/out"],
        &["decompress", "file.llmcl", "-o", "none/out", "--force"],
        &[
            "decompress",
            "file.llmcl",
            "-o",
            "none/out",
            "--tensor",
            LINEAR,
        ],
        &["decompress", "folder.llmcl", "-o", "none/out"],
        &["decompress", "folder.llmcl", "-o", "none/out", "--force"],
    ] {
        let told = refused(&space, arguments, 21);
        assert!(told.contains(arguments[3]), "{told}");
    }
    assert!(!exists(&space, "none"));
    assert_eq!(begun(&space), []);
}
