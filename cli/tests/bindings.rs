//! Values of axes inside of parameters, on the real binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use support::Space;

#[test]
fn an_argument_and_a_variable_may_be_the_value_of_an_axis() {
    let space = Space::new();
    space.write(
        "train.toml",
        r#"
[experiment]
name = "train"

[axes]
seed = [1, 2]
[[axes.model]]
name = "small"
size = "10"
[[axes.model]]
name = "tiny"

[stages.train]
kind = "command"
each = ["seed", "model"]
argv = ["sh", "-c", 'echo "$0 $# $SEED $NAME ${SIZE-none}" > out.txt', "with", { axis = "model.name" }, { axis = "seed" }]
env  = { SEED = { axis = "seed" }, NAME = { axis = "model.name" }, SIZE = { axis = "model.size" } }
outputs = { out = { path = "out.txt" } }
"#,
    );
    let run = space.run_well("train.toml", &[]);
    assert_eq!(run.executed.len(), 4);
    let show = |task: &str| {
        let output = space.call(&["show", "train.toml", task]);
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(show("train/1/small"), "with 2 1 small 10\n");
    // The model has no size: the variable is left out.
    assert_eq!(show("train/2/tiny"), "with 2 2 tiny none\n");
}
