//! `time`: measures how fast a method encodes and decodes, alone on the machine.

mod clock;
mod machine;
mod processes;
mod sample;
mod stopwatch;

use std::time::Duration;

use llmcl_stages_api::kind::{Check, ProblemKind, StageKind};
use llmcl_stages_api::machine::{Fact, FactSort};
use llmcl_stages_api::param::{Param, ParamType, Params, Scalar};
use llmcl_stages_api::port::{InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::{Schema, TableBuilder};
use llmcl_stages_api::task::{Needs, Outputs, TaskContext, TaskError};
use llmcl_stages_api::value::Value;

use crate::columns::{self, count, finite, number, text, whole};
use crate::foreign::{self, Recipe};
use crate::weights::{self, PROFILE, Subject, Unit};
use crate::{failure, methods, profile};

use clock::Spent;
use sample::Item;
use stopwatch::Stopwatch;

const METHOD: &str = "method";
const THREADS: &str = "threads";
/// The value of it that shares the work among all threads.
const ALL: &str = "all";
const WARMUP: &str = "warmup";
const REPETITIONS: &str = "repetitions";
const SAMPLE: &str = "sample";
const SPEEDS: &str = "speeds";

/// What `measures` says: from memory to memory.
const MEMORY: &str = "memory";
/// What it says of a method that is a command: whole processes, from file to file.
const PROCESSES: &str = "processes";

/// Working memory beside the encodings and the method's.
const WORKING_MEMORY: u64 = 16 << 20;
/// The largest piece that a thread takes where all of them work.
const PIECE_BYTES: u64 = 4 << 20;

/// The parameters.
const PARAMS: &[Param] = &[
    Param::required(METHOD, ParamType::Method, "The method."),
    Param::with_default(
        THREADS,
        ParamType::Choice(&["one", ALL]),
        Scalar::Text("one"),
        "`one`: each tensor whole, in one thread. `all`: pieces of up to 4 MiB, shared among as many threads as run at once.",
    ),
    Param::with_default(
        WARMUP,
        ParamType::Int { min: 0, max: 1000 },
        Scalar::Int(1),
        "How many repetitions come first and are not counted.",
    ),
    Param::with_default(
        REPETITIONS,
        ParamType::Int {
            min: 1,
            max: 10_000,
        },
        Scalar::Int(5),
        "How many repetitions are counted.",
    ),
    Param::optional(
        SAMPLE,
        ParamType::Record(SAMPLE_FIELDS),
        "What is worked on; everything where it is left out.",
    ),
];

const SAMPLE_FIELDS: &[Param] = &[
    Param::required(
        "bytes",
        ParamType::Int {
            min: 1,
            max: i64::MAX,
        },
        "How many bytes are chosen; the last tensor chosen is cut to what is left.",
    ),
    Param::with_default(
        "seed",
        ParamType::Int {
            min: 0,
            max: i64::MAX,
        },
        Scalar::Int(0),
        "What makes the order in which tensors are chosen.",
    ),
];

/// The stage kind.
pub static KIND: Time = Time;

/// The stage kind `time`.
#[derive(Debug, Clone, Copy)]
pub struct Time;

impl StageKind for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn about(&self) -> &'static str {
        "Measures how fast a method encodes and decodes, alone on the machine."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/time"]
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[
                weights::TENSORS_PORT,
                weights::FILE_PORT,
                weights::PROFILE_PORT,
                foreign::HELPERS_PORT,
                foreign::PACKAGES_PORT,
            ],
            open: None,
            one_of: weights::ONE_OF,
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        &[OutputPort {
            name: SPEEDS,
            ty: PortType::Table,
            volatile: true,
            about: "One row a repetition.",
        }]
    }

    fn check(&self, check: &mut Check<'_>) {
        foreign::check_ports(check, METHOD);
        let divided = check
            .tasks
            .iter()
            .any(|params| params.text(THREADS) == ALL && Recipe::describes(params.get(METHOD)));
        if divided {
            check.problem(
                &[THREADS],
                ProblemKind::Value {
                    message: "a method that is a command is not divided among threads".to_owned(),
                    help: Some(
                        "it starts as many as its arguments say; give it `threads = \"one\"`, or leave it out with a `where`"
                            .to_owned(),
                    ),
                },
            );
        }
        check.output(SPEEDS, PortType::Table, schema(), true);
    }

    fn facts(&self, params: &Params) -> Vec<Fact> {
        let mut facts = vec![Fact {
            sort: &machine::PROCESSOR,
            name: String::new(),
        }];
        let recipe = Recipe::of(params.get(METHOD));
        facts.extend(recipe.iter().flat_map(Recipe::facts));
        facts
    }

    fn fact_sorts(&self) -> Vec<&'static FactSort> {
        let mut sorts = vec![&machine::PROCESSOR];
        sorts.extend(Recipe::fact_sorts());
        sorts
    }

    fn needs(&self, params: &Params, input_bytes: u64) -> Needs {
        let sample = sample_bytes(params).map_or(input_bytes, |(bytes, _)| bytes.min(input_bytes));
        let threads = threads(params) as u64;
        let largest = if threads > 1 {
            sample.min(PIECE_BYTES)
        } else {
            sample
        };
        let method = match Recipe::describes(params.get(METHOD)) {
            true => Recipe::memory(largest),
            false => methods::of_value(params.get(METHOD)).map_or(0, |method| {
                method
                    .encode_memory(largest)
                    .max(method.decode_memory(largest))
            }),
        };
        // The encodings are kept, and each thread has a place to decode to and the method's own memory.
        let memory = largest
            .saturating_add(method)
            .saturating_mul(threads)
            .saturating_add(sample)
            .saturating_add(WORKING_MEMORY);
        Needs {
            exclusive: true,
            ..Needs::memory(memory)
        }
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let subject = Subject::open(task)?;
        let unit = match subject {
            Subject::Tensors(_) => Unit::Tensor,
            Subject::File { .. } => Unit::File,
        };
        let groups = subject.groups(unit)?;
        let views = groups.iter().flat_map(|group| &group.views);
        let mut items: Vec<Item<'_>> = views.map(Item::of).collect();
        let all = items.iter().map(Item::bytes).sum::<u64>();
        let chosen = sample_bytes(task.params);
        if let Some((bytes, seed)) = chosen {
            items = sample::choose(&items, bytes, seed);
        }
        let bytes = items.iter().map(Item::bytes).sum::<u64>();
        let sample = match chosen {
            Some((_, seed)) => format!(
                "{bytes} of {all} bytes, from {} tensors, seed {seed}",
                items.len()
            ),
            None => "everything".to_owned(),
        };
        if bytes == 0 {
            return Err(TaskError::input(
                "there is nothing to encode: no tensor has any bytes",
            ));
        }
        let threads = threads(task.params);
        if threads > 1 {
            items = sample::pieces(items, PIECE_BYTES);
        }

        let warmup = times(task.params, WARMUP);
        let rounds = warmup + times(task.params, REPETITIONS);
        let (measures, threads_used, measured) = match Recipe::of(task.params.get(METHOD)) {
            Some(recipe) => {
                let measured =
                    processes::measure(task, &recipe, &items, unit == Unit::File, rounds)?;
                (PROCESSES, None, measured)
            }
            None => {
                let measured = in_memory(task, &items, threads, rounds)?;
                (MEMORY, Some(threads as u64), measured)
            }
        };
        let cpu = machine::cpu();
        let mut rows = TableBuilder::new(&schema());
        for (round, (encode, decode)) in (0..).zip(measured) {
            if round < warmup {
                continue;
            }
            rows.push_row(vec![
                Value::Text(measures.to_owned()),
                count(round - warmup + 1),
                count(bytes),
                finite(encode.wall.as_secs_f64()),
                finite(decode.wall.as_secs_f64()),
                finite(encode.cpu.as_secs_f64()),
                finite(decode.cpu.as_secs_f64()),
                speed(bytes, encode.wall),
                speed(bytes, decode.wall),
                columns::optional_count(threads_used),
                Value::Text(sample.clone()),
                Value::Text(cpu.clone()),
            ])
            .map_err(|error| failure::row(&error))?;
        }
        let artifact = task.put_rows(SPEEDS, rows)?;
        Ok(Outputs::from([(SPEEDS.to_owned(), artifact)]))
    }
}

/// Measures a method of ours, from memory to memory: how long each round of encoding and of decoding took.
fn in_memory(
    task: &TaskContext<'_>,
    items: &[Item<'_>],
    threads: usize,
    rounds: u64,
) -> Result<Vec<(Spent, Spent)>, TaskError> {
    foreign::refuse_inputs(task)?;
    let method = methods::of_value(task.params.get(METHOD))?;
    let profile = profile::open(task, PROFILE, task.params.get(METHOD))?;
    let profile = profile.as_ref().map(|blob| blob.bytes());
    let mut stopwatch = Stopwatch::new(task.host, &*method, profile, items, threads);
    stopwatch.encode()?;
    stopwatch.compare()?;
    let mut measured = Vec::new();
    for round in 0..rounds {
        task.host.checkpoint()?;
        measured.push((stopwatch.encode()?, stopwatch.decode()?));
        task.host.progress(round + 1, Some(rounds));
    }
    Ok(measured)
}

/// The columns of the table.
fn schema() -> Schema {
    Schema::new([
        text(
            "measures",
            "what is measured: memory, from memory to memory, or processes, from file to file",
        ),
        whole("repetition", "which repetition, counted from 1"),
        whole("bytes", "bytes of original data"),
        number("encode_s", "seconds of wall time to encode them"),
        number("decode_s", "seconds of wall time to decode them"),
        number(
            "encode_cpu_s",
            "seconds that processors worked to encode them, all together",
        ),
        number(
            "decode_cpu_s",
            "seconds that processors worked to decode them, all together",
        ),
        number(
            "encode_mb_s",
            "10^6 bytes of original data encoded in a second; none where the clock saw no time pass",
        ),
        number(
            "decode_mb_s",
            "10^6 bytes of original data decoded in a second; none where the clock saw no time pass",
        ),
        whole(
            "threads_used",
            "how many threads worked; none for a method that is a command, which does not tell",
        ),
        text("sample", "what was chosen, out of what, and the seed"),
        text("cpu", "the model of the CPU"),
    ])
}

fn threads(params: &Params) -> usize {
    match params.text(THREADS) {
        ALL => machine::threads(),
        _ => 1,
    }
}

fn times(params: &Params, name: &str) -> u64 {
    u64::try_from(params.int(name)).unwrap_or(0)
}

/// How many bytes are chosen, and the seed.
fn sample_bytes(params: &Params) -> Option<(u64, u64)> {
    let sample = params.get(SAMPLE);
    let bytes = u64::try_from(sample.field("bytes").as_int()?).ok()?;
    let seed = sample.field("seed").as_int().unwrap_or(0);
    Some((bytes, seed.cast_unsigned()))
}

#[expect(clippy::cast_precision_loss, reason = "sizes stay far below 2^53")]
fn speed(bytes: u64, time: Duration) -> Value {
    finite(bytes as f64 / 1e6 / time.as_secs_f64())
}
