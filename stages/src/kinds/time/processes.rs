//! Programs of somebody else's against the clock: whole processes, from file to file.

use llmcl_stages_api::task::{TaskContext, TaskError};

use super::clock::{Clock, Spent, Whose};
use super::sample::Item;
use crate::foreign::{Content, Product, Recipe, Workshop};

/// Measures how long each round of encoding and of decoding took: the sum over its processes, each from its start to
/// its end. What is put into folders before and taken out of them after is in no figure.
///
/// Everything is encoded, decoded and compared once beforehand. What does not come back has no speed, and there are no
/// rounds then; `bench` tells what is wrong with it.
pub(super) fn measure(
    task: &TaskContext<'_>,
    recipe: &Recipe,
    items: &[Item<'_>],
    is_file: bool,
    rounds: u64,
) -> Result<Vec<(Spent, Spent)>, TaskError> {
    let encoder = Workshop::open(task, recipe)?;
    let decoder = Workshop::open(task, recipe)?;
    for item in items {
        let Ok(encoded) = encoder.compress(&[item.view()], is_file)?.result else {
            return Ok(Vec::new());
        };
        let decoded = decoder.decompress(Content::File(encoded.path()))?;
        if !decoded.compare(task.host, [item.data()])?.matches() {
            return Ok(Vec::new());
        }
    }
    let mut measured = Vec::new();
    for round in 0..rounds {
        let (mut encode, mut decode) = (Spent::default(), Spent::default());
        let clock = Clock::start(Whose::Children);
        let mut products: Vec<Product<'_>> = Vec::with_capacity(items.len());
        for item in items {
            let attempt = encoder.compress(&[item.view()], is_file)?;
            encode.wall += attempt.wall;
            products.push(attempt.result.map_err(changed)?);
        }
        encode.cpu = clock.stop().cpu;
        let clock = Clock::start(Whose::Children);
        for product in products {
            let attempt = decoder.decompress(Content::File(product.path()))?;
            decode.wall += attempt.wall;
            attempt.result.map_err(changed)?;
        }
        decode.cpu = clock.stop().cpu;
        measured.push((encode, decode));
        task.host.progress(round + 1, Some(rounds));
    }
    Ok(measured)
}

/// What worked a moment ago does not work any more: that is no property of the program to be told in a table.
fn changed(failure: String) -> TaskError {
    TaskError::input(format!("{failure}, after it had worked before"))
}
