//! Named points at which a test can make the process die.
//!
//! `LLMCL_CRASH_AT=blob-renamed:3` aborts the process when it passes the point `blob-renamed` for the third time.
//! Without the variable a point costs one read of a static.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that arms one crash point: its value is `name:n`, n counted from 1.
pub const CRASH_VARIABLE: &str = "LLMCL_CRASH_AT";

/// The points that this crate passes, in the order in which a first `put` and `append` pass them.
pub const CRASH_POINTS: &[&str] = &[
    "session-locked",
    "session-made",
    "session-uses",
    "blob-made",
    "blob-written",
    "blob-synced",
    "blob-renamed",
    "blob-durable",
    "segment-made",
    "segment-renamed",
    "segment-truncated",
    "record-torn",
    "record-written",
    "record-synced",
    "blob-set-aside",
];

/// The points that a collection passes, in the order in which one passes them that rewrites a segment, makes holes
/// in another, and removes blobs. `repair` passes those of segments.
pub const COLLECTION_CRASH_POINTS: &[&str] = &[
    "collection-begun",
    "collection-segment-written",
    "collection-removal-counted",
    "collection-segment-renamed",
    "collection-segment-durable",
    "collection-segment-removed",
    "collection-hole-written",
    "collection-blobs-moved",
    "collection-blobs-removed",
];

/// The points that the mending of a log passes.
pub const REPAIR_CRASH_POINTS: &[&str] = &["repair-log-copied", "repair-log-replaced"];

struct Armed {
    name: String,
    passes_left: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

fn parse(value: &str) -> Option<Armed> {
    let (name, pass) = value.rsplit_once(':')?;
    Some(Armed {
        name: name.to_owned(),
        passes_left: AtomicU64::new(pass.parse().ok()?),
    })
}

/// Aborts the process if this point is armed and passed for the n-th time; otherwise does nothing.
pub fn crash_point(name: &str) {
    crash_point_after(name, || {});
}

/// Like [`crash_point`], but does something first: half of a write, say.
pub(crate) fn crash_point_after(name: &str, last_act: impl FnOnce()) {
    let armed = ARMED.get_or_init(|| parse(&std::env::var(CRASH_VARIABLE).ok()?));
    let Some(armed) = armed else { return };
    if armed.name == name && armed.passes_left.fetch_sub(1, Ordering::Relaxed) == 1 {
        last_act();
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_a_point_and_a_pass() {
        let armed = parse("blob-renamed:3").unwrap();
        assert_eq!(armed.name, "blob-renamed");
        assert_eq!(armed.passes_left.into_inner(), 3);
        assert!(parse("blob-renamed").is_none());
        assert!(parse("blob-renamed:x").is_none());
    }
}
