//! Looking after a store: what takes room in it, what is wrong with it, what nothing needs any more.

mod collector;
mod gc;
mod mark;
mod removal;
mod repair;
mod size;
mod survey;
mod verify;

pub use collector::Collector;
pub use gc::{Freed, GcOptions, GcReport, Kept, Root};
pub use repair::{RepairReport, Repaired};
pub use size::SizeReport;
pub use verify::{Fault, Finding, LogLine, Progress, VerifyOptions, VerifyReport};

/// How many there are of something, and their length together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl Amount {
    /// Adds one thing of this length.
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }

    /// Counts things by their lengths in bytes.
    fn of(lengths: impl IntoIterator<Item = u64>) -> Amount {
        let mut amount = Amount::default();
        for bytes in lengths {
            amount.add(bytes);
        }
        amount
    }
}
