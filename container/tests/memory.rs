//! What strangers write takes no more memory than a small multiple of what they wrote. Alone in its process, whose
//! allocations are counted.

#[path = "containers/handmade.rs"]
#[expect(dead_code, reason = "shared with the other tests of containers")]
mod handmade;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use handmade::{Handmade, Method, Segment};
use llmcl_container::Container;

/// Counts what is allocated. Peaks of address space would not tell one case from the other.
struct Counting {
    now: AtomicU64,
    most: AtomicU64,
}

impl Counting {
    fn add(&self, bytes: usize) {
        let before = self.now.fetch_add(bytes as u64, Relaxed);
        self.most.fetch_max(before + bytes as u64, Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.now.fetch_sub(bytes as u64, Relaxed);
    }
}

#[expect(
    unsafe_code,
    reason = "there is no other way to count, and all of it is passed on"
)]
// SAFETY: every call is passed on to the allocator of the system as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.add(size);
        self.remove(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        self.remove(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting {
    now: AtomicU64::new(0),
    most: AtomicU64::new(0),
};

/// The most that was allocated during `work`, beyond what was before.
fn most_during<R>(work: impl FnOnce() -> R) -> (u64, R) {
    let before = COUNTING.now.load(Relaxed);
    COUNTING.most.store(before, Relaxed);
    let result = work();
    (COUNTING.most.load(Relaxed).saturating_sub(before), result)
}

/// How much of everything: one more than where a vector has doubled, so that it has just done so again.
const MANY: usize = (1 << 16) + 1;

/// Indexes that are nothing but many of something, and that are sound as far as they go.
fn indexes() -> Vec<(&'static str, Vec<u8>)> {
    let mut indexes = Vec::new();
    let mut made = Handmade::new(1, &[]);
    made.methods = vec![Method::named("exponent_static"); MANY];
    indexes.push(("methods", made.bytes()));

    let mut made = Handmade::new(1, &[]);
    for number in 0..MANY {
        made.file(&format!("{number:x}"), b"");
    }
    indexes.push(("files", made.bytes()));

    let mut made = Handmade::new(0, &["zstd_1"]);
    made.file("model", b"");
    made.files[0].bytes = u64::MAX;
    let mut segment = Segment::bytes(u64::MAX);
    segment.chunks = vec![(0, 0); MANY];
    made.segment(segment, &[]);
    indexes.push(("chunks", made.bytes()));

    for (what, method, dtype, shape) in [
        ("tensors", "zstd_1", "U8", &[0][..]),
        ("tensors of floats", "exponent_static", "F32", &[0]),
        ("matrices", "exponent_mantissa_scaled", "F16", &[0, 9]),
        ("scalars", "zstd_1", "U8", &[]),
        ("axes", "zstd_1", "U8", &[0; 64]),
    ] {
        let mut made = Handmade::new(0, &[method]);
        made.file("model", b"");
        for number in 0..MANY {
            let segment = Segment::tensor(&format!("{number:x}"), dtype, shape);
            let chunks: &[&[u8]] = if shape.is_empty() { &[&[]] } else { &[] };
            made.segment(segment, chunks);
        }
        made.files[0].bytes = if shape.is_empty() { MANY as u64 } else { 0 };
        indexes.push((what, made.bytes()));
    }

    // What no program writes: neither a tensor nor bytes between any.
    let mut made = Handmade::new(0, &["zstd_1"]);
    made.file("model", b"");
    for _ in 0..MANY {
        made.segment(Segment::bytes(0), &[]);
    }
    indexes.push(("segments of nothing", made.bytes()));
    indexes
}

/// Chunks of nothing, for as many bytes as one can have.
fn claims() -> Handmade {
    let mut made = Handmade::new(0, &["exponent_mantissa_scaled", "zstd_1"]);
    made.file("model", b"");
    let floats = Segment::tensor("floats", "F32", &[16 << 20]);
    made.segment(floats, &[&[][..]; 16]);
    made.segment(Segment::bytes(256 << 20).by(1, &[]), &[&[][..]; 64]);
    made.files[0].bytes = (64 + 256) << 20;
    made
}

// One test, as two would be counted together.
#[test]
fn hostile_containers_take_no_memory() {
    let bytes = claims().bytes();
    let container = Container::open(&bytes).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    let pool = pool.unwrap();
    let stop = AtomicBool::new(false);
    let file = &container.files()[0];
    for segment in &file.segments {
        let (most, found) = most_during(|| {
            let mut out = std::io::sink();
            pool.install(|| container.read(file, segment, 0..segment.bytes, &mut out, &stop))
        });
        assert!(found.is_err());
        // Four chunks a thread, of 8 MiB at most, and what is next to them.
        assert!(most < (2 * 4 * 8 + 16) << 20, "chunks of {most} bytes");
    }
    for (what, bytes) in indexes() {
        let (most, _) = most_during(|| Container::open(&bytes).is_ok());
        let times = most as f64 / bytes.len() as f64;
        assert!(
            times < 40.0,
            "many {what} take {times:.1} times their bytes"
        );
    }
}
