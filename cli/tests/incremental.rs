//! What runs again after a change, and what does not: the real binary on real weights.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::fs;

use support::{EXPERIMENT, Space, names};

fn ready() -> Space {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    let first = space.run_well("small.toml", &[]);
    assert_eq!(first.executed.len(), 16, "{:?}", first.executed);
    space
}

/// The experiment with some text replaced; the text must be there.
fn with(from: &str, to: &str) -> String {
    assert!(EXPERIMENT.contains(from), "{from}");
    EXPERIMENT.replace(from, to)
}

#[test]
fn a_second_run_does_nothing_and_writes_nothing() {
    let space = ready();
    let before = space.snapshot();
    let second = space.run_well("small.toml", &[]);
    assert_eq!(second.executed, names(&[]));
    assert_eq!(space.snapshot(), before);
}

#[test]
fn a_plan_writes_nothing_and_says_what_a_run_does() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    let plan = space.plan("small.toml", &[]);
    assert!(!space.store().exists());
    assert_eq!(plan["fetch/minilm_attention"], "run");
    assert_eq!(plan["precheck"], "run");
    assert_eq!(plan["bench/minilm_attention/zstd_1"], "maybe");
    space.run_well("small.toml", &[]);
    let plan = space.plan("small.toml", &[]);
    assert!(plan.values().all(|state| state == "cached"), "{plan:?}");
}

#[test]
fn what_changes_no_result_runs_nothing() {
    let space = ready();
    let reordered = with(
        "each    = [\"model\"]\ninputs  = { file = \"fetch\" }\ntensors = \"rank == 2 && layer == 0\"",
        "# a comment\ntensors = \"rank==2 && layer==0\"\ninputs  = { file = \"fetch\" }\neach    = [\"model\"]",
    );
    let renamed = EXPERIMENT
        .replace("bf16\"", "words\"")
        .replace("stages.bf16", "stages.words");
    let other_name = with(
        "name = \"small\"",
        "name = \"other\"\ntitle = \"Another title\"",
    );
    let first_stage_last = {
        let (head, tail) = EXPERIMENT.split_once("[stages.weights]").unwrap();
        let (axes, fetch) = head.split_once("[stages.fetch]").unwrap();
        format!("{axes}[stages.weights]{tail}\n[stages.fetch]{fetch}")
    };
    let unread_label = with(
        "by   = \"general\"",
        "by   = \"general\"\ncolour = \"blue\"",
    );
    for (name, text) in [
        ("reordered", &reordered),
        ("renamed", &renamed),
        ("other_name", &other_name),
        ("first_stage_last", &first_stage_last),
        ("unread_label", &unread_label),
    ] {
        let before = space.snapshot();
        space.write(&format!("{name}.toml"), text);
        let run = space.run_well(&format!("{name}.toml"), &[]);
        assert_eq!(run.executed, names(&[]), "{name}");
        assert_eq!(space.snapshot(), before, "{name}");
    }
}

#[test]
fn another_path_runs_nothing() {
    let space = ready();
    let elsewhere = Space::new();
    elsewhere.write("deep/er/small.toml", &with("fixtures/", "../../fixtures/"));
    let store = space.store();
    let run = elsewhere.run_well("deep/er/small.toml", &["--store", store.to_str().unwrap()]);
    assert_eq!(run.executed, names(&[]));
}

#[test]
fn a_changed_parameter_runs_exactly_what_depends_on_it() {
    let space = ready();
    // A threshold: the gate runs; its outcome is the same, and the verdict shows the new threshold.
    let run = space.run_well(
        "small.toml",
        &["--set", "stages.precheck.outcomes.0.if=headroom >= 0.9"],
    );
    assert_eq!(run.executed, names(&["precheck", "verdict"]));
    // One method more: its tasks, and what gathers them.
    space.write(
        "more.toml",
        &with(
            "[stages.fetch]",
            "[[axes.method]]\nname = \"xz_1\"\nby = \"general\"\n\n[stages.fetch]",
        ),
    );
    let run = space.run_well("more.toml", &[]);
    assert_eq!(
        run.executed,
        names(&[
            "bench/minilm_attention/xz_1",
            "bench/whisper_attention/xz_1",
            "methods",
            "ours",
            "verdict"
        ])
    );
    // A label that an expression reads: what reads it.
    space.write("label.toml", &with("by   = \"general\"", "by   = \"old\""));
    let run = space.run_well("label.toml", &[]);
    assert_eq!(run.executed, names(&["ours"]));
}

#[test]
fn a_change_that_leaves_outputs_equal_stops_there() {
    let space = ready();
    let before = space.plan(
        "small.toml",
        &[
            "--set",
            "stages.weights.tensors=rank == 2 && layer < 1 && layer >= 0",
        ],
    );
    assert_eq!(before["weights/minilm_attention"], "run");
    assert_eq!(before["bf16/minilm_attention"], "maybe");
    assert_eq!(before["fetch/minilm_attention"], "cached");
    let run = space.run_well(
        "small.toml",
        &[
            "--set",
            "stages.weights.tensors=rank == 2 && layer < 1 && layer >= 0",
        ],
    );
    assert_eq!(
        run.executed,
        names(&["weights/minilm_attention", "weights/whisper_attention"])
    );
}

#[test]
fn a_gate_prunes_and_lets_go_again() {
    let space = ready();
    let red = ["--set", "stages.precheck.outcomes.0.if=headroom >= 15.0"];
    let run = space.run_well("small.toml", &red);
    assert_eq!(run.executed, names(&["precheck", "verdict"]));
    assert_eq!(
        run.pruned,
        names(&[
            "bench/minilm_attention/zstd_1",
            "bench/minilm_attention/exponent_static",
            "bench/whisper_attention/zstd_1",
            "bench/whisper_attention/exponent_static",
            "methods",
            "ours"
        ])
    );
    let plan = space.plan("small.toml", &red);
    assert_eq!(plan["methods"], "pruned");
    assert_eq!(plan["verdict"], "cached");
    let run = space.run_well("small.toml", &[]);
    assert_eq!(run.executed, names(&[]));
}

#[test]
fn a_changed_input_file_runs_what_depends_on_it() {
    let space = ready();
    // The last weight of the MiniLM fixture, which is not among the selected tensors, and the digests with it.
    let path = space.path("fixtures/minilm-attention-bf16.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let unchanged = space.run("small.toml", &[]);
    assert_eq!(
        unchanged.executed,
        names(&[]),
        "what was fetched is known by its digest"
    );
    let manifest = fs::read_to_string(space.path("fixtures/manifest.toml")).unwrap();
    let changed = manifest.replace(
        "77b2a1a9524479e426e62c48fd848f1cc7251790be39074fef013aedc8ff2211",
        &sha256(&space.path("fixtures/minilm-attention-bf16.safetensors")),
    );
    fs::write(space.path("fixtures/manifest.toml"), changed).unwrap();
    let run = space.run_well("small.toml", &[]);
    // The selection points into another file, so it is another one; the weights in it are the same.
    assert!(
        run.executed.contains("fetch/minilm_attention"),
        "{:?}",
        run.executed
    );
    assert!(run.executed.contains("weights/minilm_attention"));
    assert!(!run.executed.contains("weights/whisper_attention"));
}

fn sha256(path: &std::path::Path) -> String {
    let output = std::process::Command::new("sha256sum")
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[test]
fn explain_names_what_changed() {
    let space = ready();
    let output = space.call(&[
        "explain",
        "small.toml",
        "weights/minilm_attention",
        "--set",
        "stages.weights.tensors=rank == 1",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("changed  parameter tensors"), "{text}");
    assert!(text.contains("rank == 1"), "{text}");
    assert!(text.contains("same     content file[0]"), "{text}");
    let output = space.call(&["explain", "small.toml", "bench/minilm_attention/zstd1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("did you mean `bench/minilm_attention/zstd_1`?")
    );
}

#[test]
fn status_counts_the_tasks_of_each_stage() {
    let space = ready();
    let output = space.call(&["status", "small.toml", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let bench = status["stages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|stage| stage["stage"] == "bench")
        .unwrap();
    assert_eq!(bench["cached"], 4);
    assert_eq!(bench["run"], 0);
}
