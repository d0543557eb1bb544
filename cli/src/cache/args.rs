//! What can be written after `llmcl cache`.

use clap::{Args, Subcommand};

use crate::args::StoreArgs;
use crate::size::Size;

/// How many runs of each experiment keep what they have used: the last one, the one that it is compared with, and
/// one more to go back to.
const KEPT_RUNS: usize = 3;

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Read everything in the store and name whatever is damaged; writes nothing
    Verify(VerifyArgs),
    /// Remove what neither the last runs nor running processes need
    Gc(GcArgs),
    /// Show what takes room in the store
    Size(SizeArgs),
    /// Set aside or drop what is damaged, so that the next run makes it again
    Repair(RepairArgs),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Look at records and lengths only, not into blobs
    #[arg(long)]
    pub(crate) quick: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Keep what the last N runs of each experiment have used
    #[arg(long, value_name = "N", default_value_t = KEPT_RUNS)]
    pub(crate) keep_runs: usize,
    /// Remove only as much as is needed to come down to this size, the least recently recorded first
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<Size>,
    /// Remove the logs of the runs that are not kept, too
    #[arg(long)]
    pub(crate) logs: bool,
    /// Remove what was set aside as damaged, too
    #[arg(long)]
    pub(crate) quarantine: bool,
    /// Say what would be removed; writes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SizeArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `gc` does without further arguments.
pub(crate) fn kept_runs() -> usize {
    KEPT_RUNS
}
