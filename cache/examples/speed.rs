//! Measures the store: loading records, and the throughput of `put` and `append`.
//!
//! `cargo run --release -p llmcl-cache --example speed [FOLDER]`; without a folder it works in a temporary one.
//! Flushing dominates everything that is durable, so the file system of the folder matters more than the processor.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use llmcl_cache::{BlobRef, NewRecord, Store};

const BODY_BYTES: usize = 400;

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => Path::new(&folder).join("llmcl-cache-speed"),
        None => temporary.path().join("store"),
    };
    for count in [10_000, 100_000] {
        load(&folder.join(format!("load-{count}")), count)?;
    }
    for threads in [1, 2, 8, 64] {
        append(&folder.join(format!("append-{threads}")), threads)?;
    }
    put(&folder.join("put"))?;
    Ok(())
}

/// Appends `count` records numbered from `first`, each naming two blobs, one of them inside.
fn append_records(store: &Store, first: u32, count: u32) -> Result<(), Box<dyn Error>> {
    let body = [7; BODY_BYTES];
    let elsewhere = store.put(b"a blob with a file")?;
    for number in first..first + count {
        let inline = format!("a small output, number {number}").into_bytes();
        store.append(NewRecord {
            key: blake3::hash(&number.to_le_bytes()),
            shape: blake3::hash(&(number % 50).to_le_bytes()),
            blobs: &[elsewhere, BlobRef::of(&inline)],
            inline: &[&inline],
            body: &body,
        })?;
    }
    Ok(())
}

/// Has several threads append records numbered from 0; says how long that took.
fn append_by_threads(store: &Store, threads: u32, each: u32) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    append_records(store, thread * each, each).map_err(|error| error.to_string())
                })
            })
            .collect();
        workers
            .into_iter()
            .all(|worker| matches!(worker.join(), Ok(Ok(()))))
    });
    if !done {
        return Err("a thread could not append its records".into());
    }
    Ok(start.elapsed())
}

fn load(root: &Path, count: u32) -> Result<(), Box<dyn Error>> {
    let store = Store::open(root)?;
    let elapsed = append_by_threads(&store, 200, count / 200)?;
    println!(
        "append {count} records, 200 threads: {:.2} s",
        elapsed.as_secs_f64()
    );
    drop(store);
    let mut times = Vec::new();
    let mut processor_times = Vec::new();
    for _ in 0..11 {
        let start = (Instant::now(), processor_time());
        let store = Store::open(root)?;
        times.push(start.0.elapsed());
        processor_times.push(processor_time().saturating_sub(start.1));
        if store.records().count() != count as usize {
            return Err("records are missing".into());
        }
    }
    times.sort();
    processor_times.sort();
    let bytes: u64 = std::fs::read_dir(root.join("records"))?
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.len())
        .sum();
    println!(
        "open {count} records, {:.1} MiB: median {:.2} ms, {:.2} to {:.2}; on the processor: {:.2} ms",
        bytes as f64 / f64::from(1 << 20),
        milliseconds(times[5]),
        milliseconds(times[0]),
        milliseconds(times[10]),
        milliseconds(processor_times[5]),
    );
    let store = Store::open(root)?;
    let keys: Vec<_> = (0..count)
        .map(|number| blake3::hash(&number.to_le_bytes()))
        .collect();
    let start = Instant::now();
    let found = keys
        .iter()
        .filter(|key| store.record(key).is_some())
        .count();
    println!(
        "look up {found} keys: {:.0} ns each; refresh: {:.3} ms",
        start.elapsed().as_nanos() as f64 / f64::from(count),
        refresh_time(&store)?,
    );
    Ok(())
}

fn refresh_time(store: &Store) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    store.refresh()?;
    Ok(milliseconds(start.elapsed()))
}

fn append(root: &Path, threads: u32) -> Result<(), Box<dyn Error>> {
    let store = Store::open(root)?;
    store.put(b"a blob with a file")?;
    let each = 100;
    let elapsed = append_by_threads(&store, threads, each)?;
    println!(
        "append, {threads} threads: {:.0} records/s",
        f64::from(threads * each) / elapsed.as_secs_f64()
    );
    Ok(())
}

fn put(root: &Path) -> Result<(), Box<dyn Error>> {
    let store = Store::open(root)?;
    store.put(b"makes the folders")?;
    let count = 200_u32;
    let start = Instant::now();
    for number in 0..count {
        store.put(&number.to_le_bytes())?;
    }
    println!(
        "put 4 bytes: {:.2} ms each",
        milliseconds(start.elapsed()) / f64::from(count)
    );

    let mut large = vec![0_u8; 256 << 20];
    for (index, chunk) in large.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(
            &(index as u64)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .to_le_bytes(),
        );
    }
    let mebibytes = (large.len() >> 20) as f64;
    let start = Instant::now();
    let stored = store.put(&large)?;
    println!(
        "put 256 MiB: {:.0} MiB/s",
        mebibytes / start.elapsed().as_secs_f64()
    );
    for what in ["first use, verified", "second use"] {
        let start = Instant::now();
        let blob = store.blob(&stored.digest, stored.bytes)?;
        println!(
            "blob of {} MiB, {what}: {:.3} ms",
            blob.len() >> 20,
            milliseconds(start.elapsed())
        );
    }
    let start = Instant::now();
    store.put(&large)?;
    println!(
        "put 256 MiB again: {:.0} MiB/s",
        mebibytes / start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What this thread has had of a processor, which other programs do not lengthen; zero where Linux does not say.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
