//! The llmcl binary: commands, rendering, exit codes.

mod args;
mod cache;
mod container;
mod diagnostics;
mod diff;
mod exit;
mod explain;
mod help;
mod log;
mod plan;
mod progress;
mod run;
mod session;
mod show;
mod size;
mod text;
mod timings;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Colour, Command, ExperimentArgs};
use crate::exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // `--help` and `--version` come here too. Whether printing works is of no use to anyone.
            let _ = error.print();
            return match error.use_stderr() {
                true => Exit::Usage.into(),
                false => Exit::Done.into(),
            };
        }
    };
    match arguments.color {
        Colour::Auto => {}
        Colour::Always => anstream::ColorChoice::Always.write_global(),
        Colour::Never => anstream::ColorChoice::Never.write_global(),
    }
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let result = match &arguments.command {
        Command::Check(arguments) => check(arguments),
        Command::Plan(arguments) => plan::plan(arguments),
        Command::Status(arguments) => plan::status(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Explain(arguments) => explain::explain(arguments),
        Command::Log(arguments) => log::log(arguments),
        Command::Diff(arguments) => diff::diff(arguments),
        Command::Show(arguments) => show::show(arguments),
        Command::Cache(command) => cache::cache(command),
        Command::Compress(arguments) => container::compress(arguments),
        Command::Decompress(arguments) => container::decompress(arguments),
        Command::Inspect(arguments) => container::inspect(arguments),
        Command::Schema => schema(),
        Command::Help(arguments) => help::help(arguments.code.as_deref()),
        Command::Worker { name } => worker(name),
    };
    match result {
        Ok(()) => Exit::Done.into(),
        Err(exit) => exit.into(),
    }
}

fn check(arguments: &ExperimentArgs) -> Result<(), Exit> {
    let registry = llmcl_stages::registry();
    let loaded = session::load(arguments, &registry)?;
    let experiment = &loaded.experiment;
    text::print(&format!(
        "{}: {} stages, {} tasks, no mistakes\n",
        arguments.file.display(),
        experiment.stages.len(),
        experiment.tasks.len()
    ))
}

fn schema() -> Result<(), Exit> {
    let schema = llmcl_engine::schema::schema(&llmcl_stages::registry());
    // A value of JSON always has a text.
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text::print(&(text + "\n"))
}

fn worker(name: &str) -> Result<(), Exit> {
    llmcl_stages::work(
        name,
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
    .map_err(|error| {
        text::tell(&format!("error: {error}"));
        Exit::Failed
    })
}
