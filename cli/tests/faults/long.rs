//! Hours of all that is random, with a summary at the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::ledger::Tally;
use crate::{company, damage, differential, power_cut, refusals, storm};

/// The environment variable that says for how many minutes; without it the long mode is off.
const MINUTES: &str = "LLMCL_FAULTS_MINUTES";

/// How long one round of many engines on one store lasts. Each begins with new dice and a new store.
const COMPANY: Duration = Duration::from_secs(100);
/// How long the first of them lasts, if there is time for it.
const LONG_COMPANY: Duration = Duration::from_secs(600);

/// What went wrong, by the word with which a broken promise is told.
const WORDS: [&str; 4] = ["lost", "stale", "stuck", "processes are left"];

#[test]
fn for_as_long_as_is_asked_nothing_is_lost_stale_or_stuck() {
    let Ok(minutes) = std::env::var(MINUTES) else {
        println!("{MINUTES} says for how many minutes; it is not set");
        return;
    };
    let end = Instant::now() + Duration::from_secs(60 * minutes.parse::<u64>().unwrap());
    let mut dice = Dice::new("long");
    let mut tally = Tally::default();
    let mut broken: Vec<String> = Vec::new();
    let release = Path::new(env!("CARGO_BIN_EXE_llmcl")).with_file_name("../release/llmcl");
    let mut rounds = 0_u64;
    while Instant::now() < end {
        let seed = dice.next() >> 16;
        let mut own = Dice::of(seed);
        let what = match rounds {
            0 => 6,
            1 => 1,
            _ => dice.below(6),
        };
        let left = end.saturating_duration_since(Instant::now());
        let company = match rounds {
            1 if left > 2 * LONG_COMPANY => LONG_COMPANY,
            _ => COMPANY,
        };
        rounds += 1;
        let result = catch_unwind(AssertUnwindSafe(|| match what {
            0 => storm::round(&mut own, 40, &mut tally),
            1 => company::round(&mut own, &mut tally, company),
            2 => (0..3).for_each(|_| power_cut::round(&mut own, &mut tally)),
            3 => (0..10).for_each(|_| refusals::round(&mut own, &mut tally)),
            4 => (0..5).for_each(|_| damage::round(&mut own, &mut tally)),
            5 => (0..3).for_each(|_| differential::round(&mut own, &mut tally)),
            _ => differential::builds(&release, &mut own),
        }));
        if let Err(panic) = result {
            let message = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
                .unwrap_or_default();
            println!("broken, round {what} with seed {seed}: {message}");
            broken.push(message);
        }
    }
    let count = |word: &str| {
        broken
            .iter()
            .filter(|message| message.contains(word))
            .count()
    };
    let counts: Vec<String> = WORDS
        .iter()
        .map(|word| format!("{} {word}", count(word)))
        .collect();
    println!(
        "{minutes} minutes, {rounds} rounds: {} runs, {} kills, {} power cuts, {} refusals, {} edits; {}; {} broken in all",
        tally.runs,
        tally.kills,
        tally.cuts,
        tally.refusals,
        tally.edits,
        counts.join(", "),
        broken.len()
    );
    assert!(broken.is_empty(), "{broken:#?}");
}
