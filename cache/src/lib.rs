//! The content-addressed store: blobs, records, locks.
//!
//! A [`Store`] is a folder that any number of processes share. It holds
//!
//! - **blobs**: immutable content, named by its BLAKE3 digest ([`Store::put`], [`Store::write_blob`],
//!   [`Store::blob`]);
//! - **records**: what is known under a key: which blobs the outputs are, and the engine's own bytes
//!   ([`Store::append`], [`Store::record`]);
//! - **key locks**, so that of several processes one works on a key ([`Store::lock`]);
//! - **maintenance**: [`Store::verify`], [`Store::size`], and beside runs [`Store::collector`], which removes what
//!   nothing needs and repairs;
//! - **scratch** and **resumable** folders for work in progress, and the **logs** of runs.
//!
//! Three rules carry everything else:
//!
//! 1. What a call reported as done survives `SIGKILL` and a power cut right after it.
//! 2. What was not reported as done leaves nothing that a later process could mistake for a result: at worst a
//!    file that the next writer sweeps.
//! 3. Damage is a miss, never a wrong answer. What is damaged is set aside or skipped and told in
//!    [`Store::notices`]; doing the work again heals it.
//!
//! Reading writes nothing, with one exception: a blob whose content turns out to be damaged is moved to
//! `quarantine/`. The formats on disk are described in `FORMAT.md` beside this crate's manifest.

mod blob;
mod blob_files;
mod blob_writer;
mod crash;
mod disk;
mod error;
mod frame;
mod group_commit;
mod index;
mod lock;
mod machine;
mod maintenance;
mod map;
mod notice;
mod record;
mod run_log;
mod run_logs;
mod scratch;
mod segment;
mod session;
mod snapshots;
mod store;
mod uses;

pub use blake3::Hash;

pub use crate::blob::{Blob, StoredBlob};
pub use crate::blob_writer::BlobWriter;
pub use crate::crash::{
    COLLECTION_CRASH_POINTS, CRASH_POINTS, CRASH_VARIABLE, REPAIR_CRASH_POINTS, crash_point,
};
pub use crate::error::{BlobError, StoreError};
pub use crate::lock::KeyLock;
pub use crate::machine::{MachineGuard, SharedMachine};
pub use crate::maintenance::{
    Amount, Collector, Fault, Finding, Freed, GcOptions, GcReport, Kept, LogLine, Progress,
    RepairReport, Repaired, Root, SizeReport, VerifyOptions, VerifyReport,
};
pub use crate::notice::Notice;
pub use crate::record::{BlobRef, MAX_RECORD_BYTES, NewRecord, Record};
pub use crate::run_log::RunLog;
pub use crate::run_logs::RunLogFile;
pub use crate::scratch::Scratch;
pub use crate::store::{Store, Written};
