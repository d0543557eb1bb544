//! What can be written on the command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cache::args::CacheCommand;
use crate::container::{CompressArgs, DecompressArgs, InspectArgs};
use crate::size::Size;

/// Runs experiments on language-model weights: a TOML file describes a DAG of stages, and only what is not done
/// yet is run.
#[derive(Debug, Parser)]
#[command(
    name = "llmcl",
    bin_name = "llmcl",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub(crate) color: Colour,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check an experiment file, and report all its mistakes
    Check(ExperimentArgs),
    /// Show what a run would do and why; writes nothing
    Plan(PlanArgs),
    /// Run an experiment: everything that is not done yet
    Run(RunArgs),
    /// Show how far each stage is
    Status(PlanArgs),
    /// Explain why a task would run or not, or did in a recorded run: each component of its key, old and new
    Explain(ExplainArgs),
    /// List the recorded runs, or show what became of each task of one. A run that had nothing to do has no log
    Log(LogArgs),
    /// Show what two recorded runs differ in, and why
    Diff(DiffArgs),
    /// Print what a task put out, or copy it into a folder
    Show(ShowArgs),
    /// Look after the store: check it, clean it up, repair it
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Compress a model without loss: a file of tensors, a folder of them, or anything else
    Compress(CompressArgs),
    /// Restore what was compressed, byte by byte, or a tensor of it
    Decompress(DecompressArgs),
    /// List what a compressed model holds
    Inspect(InspectArgs),
    /// Print the JSON Schema of experiment files
    Schema,
    /// Explain a code such as E0103, or list all codes
    Help(HelpArgs),
    /// Do one piece of work in a fresh process; the engine starts this
    #[command(hide = true)]
    Worker { name: String },
}

#[derive(Debug, Args)]
pub(crate) struct ExperimentArgs {
    /// The experiment file
    pub(crate) file: PathBuf,
    /// Change a value of the file before it is read, such as axes.model.corpus=corpora/mine.toml
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) settings: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The store [default: .llmcl at the root of the workspace]
    #[arg(long, env = "LLMCL_STORE", value_name = "FOLDER")]
    pub(crate) store: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// How many tasks run at a time [default: the number of processors]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Working memory that all tasks may have together, such as 12G [default: four fifths of what is free]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Size>,
    /// Go on with the rest after a failure
    #[arg(short, long)]
    pub(crate) keep_going: bool,
    /// Print the events of the run as lines of JSON instead of the reports
    #[arg(long)]
    pub(crate) json: bool,
    /// Print no progress and no reports
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Print where the time went, after the run
    #[arg(long)]
    pub(crate) timings: bool,
}

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct ExplainArgs {
    /// The experiment file; with --run it only says where the store is
    #[arg(required_unless_present = "run")]
    pub(crate) file: Option<PathBuf>,
    /// The task: its stage and its axis values, such as bench/whisper_base/zstd_19
    #[arg(required = true)]
    pub(crate) task: String,
    /// Explain the task as it was in this recorded run, not as it is now
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Hold it against this recorded run [default: the last record, with --run the one before that run]
    #[arg(long, value_name = "RUN")]
    pub(crate) against: Option<String>,
    /// Change a value of the file before it is read
    #[arg(long = "set", value_name = "PATH=VALUE", conflicts_with = "run")]
    pub(crate) settings: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The experiment file
    pub(crate) file: PathBuf,
    /// The task: its stage and its axis values, such as bench/whisper_base/zstd_19
    pub(crate) task: String,
    /// Which output [default: the first]
    #[arg(long)]
    pub(crate) port: Option<String>,
    /// Print tables as Markdown instead of lines of JSON
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Copy the files into this folder instead
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// Change a value of the file before it is read
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) settings: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// A run: its name, a beginning of it, `last`, `last-1`, …; or an experiment file (….toml), to list its runs
    #[arg(value_name = "RUN|FILE")]
    pub(crate) what: Option<String>,
    /// List at most so many runs
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    pub(crate) number: usize,
    /// Print where the time of the run went
    #[arg(long, requires = "what")]
    pub(crate) timings: bool,
    /// Write the run as a trace for chrome://tracing or Perfetto into this file, which must not exist
    #[arg(long, value_name = "FILE", requires = "what")]
    pub(crate) trace: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// A recorded run: its name, a beginning of it, `last`, `last-1`, …
    #[arg(value_name = "RUN_A")]
    pub(crate) a: String,
    /// Another one
    #[arg(value_name = "RUN_B")]
    pub(crate) b: String,
    /// Show how long the tasks took that ran in both
    #[arg(long)]
    pub(crate) durations: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HelpArgs {
    /// The code
    pub(crate) code: Option<String>,
}
