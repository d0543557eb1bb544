//! Damaged encodings take no more memory to decode than sound ones. Alone in its process, which is what is measured.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "methods/common.rs"]
#[expect(dead_code, reason = "shared with the other tests of methods")]
mod common;

use common::{decode, encode, methods, small_unit};

#[test]
fn damage_takes_no_memory() {
    let Some(before) = peak_memory() else {
        return;
    };
    // The encoders of the highest levels take more than any decoder and would hide it.
    let modest = methods()
        .into_iter()
        .filter(|method| method.encode_memory(1 << 10) < 64 << 20);
    for method in modest {
        let (unit, bytes) = small_unit(&*method);
        let (encoded, _) = encode(&*method, &unit);
        for at in 0..encoded.len() {
            for mask in [0x01, 0x10, 0x80, 0x7f, 0xff] {
                let mut damaged = encoded.clone();
                damaged[at] ^= mask;
                // Whether it decodes is another test's matter.
                let _ = decode(&*method, &damaged, bytes);
            }
        }
    }
    let grown = peak_memory().unwrap_or(u64::MAX) - before;
    assert!(grown < 512 << 20, "{grown} bytes more");
}

/// The most address space that this process had, in bytes, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmPeak:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
