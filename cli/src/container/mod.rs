//! `compress`, `decompress` and `inspect`.

mod compress;
mod decompress;
mod files;
mod inspect;
mod map;
mod output;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use crate::exit::Exit;
use crate::text::tell;

pub(crate) use compress::compress;
pub(crate) use decompress::decompress;
pub(crate) use inspect::inspect;

/// What `compress` takes.
#[derive(Debug, Args)]
pub(crate) struct CompressArgs {
    /// A file, or a folder with the files of a model
    pub(crate) input: PathBuf,
    /// The container to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// The method for tensors; what it does not take is left to zstd
    #[arg(long, value_name = "NAME", default_value = "by_type_context")]
    pub(crate) method: String,
    /// The profile that the method needs
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// What `decompress` takes.
#[derive(Debug, Args)]
pub(crate) struct DecompressArgs {
    /// The container
    pub(crate) input: PathBuf,
    /// The file to write, or the folder if the container holds one
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: PathBuf,
    /// Write only the bytes of this tensor
    #[arg(long, value_name = "NAME")]
    pub(crate) tensor: Option<String>,
    /// Write only these elements of it, such as 0..1024, counted row by row; the last one is not among them
    #[arg(long, value_name = "FROM..TO", requires = "tensor")]
    pub(crate) range: Option<String>,
    /// A profile that the container needs
    #[arg(long = "profile", value_name = "FILE")]
    pub(crate) profiles: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// What `inspect` takes.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The container
    pub(crate) input: PathBuf,
    /// A profile that the container needs
    #[arg(long = "profile", value_name = "FILE")]
    pub(crate) profiles: Vec<PathBuf>,
}

/// What both take.
#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    /// How many threads work, 256 at most [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// Replace the output if it is a file that is there
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// Set when an end is asked for.
static STOP: AtomicBool = AtomicBool::new(false);

/// From now on, Ctrl-C sets [`STOP`], and a second one ends the program.
fn listen() {
    let result = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if let Err(error) = result {
        tell(&format!("warning: Ctrl-C cannot be caught: {error}"));
    }
}

/// Runs `work` in threads of its own, with the flag that Ctrl-C sets.
fn with_threads<R: Send>(
    threads: Option<u16>,
    work: impl FnOnce(&AtomicBool) -> R + Send,
) -> Result<R, Exit> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads.map_or(0, usize::from));
    match builder.build() {
        Ok(pool) => Ok(pool.install(|| work(&STOP))),
        Err(error) => {
            tell(&format!("error: threads cannot be started: {error}"));
            Err(Exit::NotReady)
        }
    }
}

/// Tells an error with what it comes from, a line each.
fn tell_error(error: &dyn std::error::Error) {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!("\n  {error}"));
        source = error.source();
    }
    tell(&text);
}
