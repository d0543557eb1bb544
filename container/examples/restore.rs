//! How fast the files of a container are restored, from memory to memory.
//!
//! ```text
//! cargo run --release -p llmcl-container --example restore -- CONTAINER [THREADS]
//! ```
//!
//! Prints MB (10^6 bytes) of original bytes a second, the best of the repetitions that fit four seconds. All that
//! `llmcl decompress` does is done, except that nothing is read from a disk and written to one: checksums of the chunks,
//! decoding, and the BLAKE3 of each file.

#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::error::Error;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use llmcl_container::Container;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: restore CONTAINER [THREADS]")?;
    let threads = arguments.next().map_or(Ok(0), |count| count.parse())?;
    let bytes = std::fs::read(path)?;
    let container = Container::open(&bytes)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()?;
    for file in container.files() {
        let mut restored = Vec::with_capacity(usize::try_from(file.bytes)?);
        let (begin, mut best) = (Instant::now(), Duration::MAX);
        while best == Duration::MAX || begin.elapsed() < Duration::from_secs(4) {
            restored.clear();
            let start = Instant::now();
            pool.install(|| container.restore(file, &mut restored, &AtomicBool::new(false)))?;
            best = best.min(start.elapsed());
        }
        println!(
            "{}: {} bytes, {} threads, {:.0} MB/s",
            file.name,
            file.bytes,
            pool.current_num_threads(),
            file.bytes as f64 / 1e6 / best.as_secs_f64()
        );
    }
    Ok(())
}
