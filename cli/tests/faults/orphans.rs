//! What the engine's programs have started does not outlive it, even if it is killed.

use crate::engine::session;
use crate::lab::Lab;

/// Two tasks at a time that start trees of processes: children of children, one that ignores signals, one in the
/// background of a shell that ends.
const TREES: &str = r#"
[experiment]
name = "trees"
[stages.tree]
kind    = "command"
argv    = ["sh", "-c", '''
trap '' HUP INT TERM
(sh -c 'sleep 1000 & sleep 1001') &
sh -c 'sleep 1002 & exit 0'
sleep 1003 | cat | cat > /dev/null &
sleep 1004
''']
outputs = { out = { path = "out" } }
[stages.other_tree]
kind    = "command"
argv    = ["sh", "-c", "sh -c 'sleep 1005; :' & wait"]
outputs = { out = { path = "out" } }
"#;

#[test]
fn no_process_outlives_a_killed_engine() {
    for _ in 0..3 {
        let lab = Lab::new();
        lab.put("trees.toml", TREES);
        let mut engine = lab.start(&lab.run_command("trees.toml", &["-j", "2"]));
        let id = engine.id();
        // Both trees stand: their last programs run.
        engine.wait_for(|_| {
            let names = session(id);
            names.iter().filter(|name| name.contains("sleep")).count() >= 6
        });
        engine.kill();
        // This holds that the session is empty.
        engine.finish();
    }
}
