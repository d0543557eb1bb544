//! `verify`: decodes in a fresh process and compares with the original, byte for byte.

mod protocol;
mod worker;

use std::io::{self, BufReader, Read, Write};

use blake3::Hash;
use llmcl_codecs::Method;
use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::machine::{Fact, FactSort};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::{Schema, TableBuilder};
use llmcl_stages_api::task::{Blob, Host, Needs, Outputs, TaskContext, TaskError, TaskErrorKind};
use llmcl_stages_api::value::Value;

use crate::columns::{self, count, text, truth, whole};
use crate::encoded::{DATA, Index, MethodId};
use crate::foreign::{self, Compared, Content, Recipe, Workshop};
use crate::process::{Conversation, Limits, ProcessError, converse};
use crate::watched::{Comparing, Difference};
use crate::weights::{self, Group, PROFILE, Subject};
use crate::{failure, methods, profile};

use protocol::{
    ANSWER, MESSAGE_MAX_BYTES, NONE, PIECE_MAX_BYTES, REQUEST, SOME, garbage, read_array,
    read_byte, read_u32, write_long, write_short,
};
pub use worker::decode_worker;

/// The name of the worker; see [`Host::worker`].
pub const WORKER: &str = "decode";

/// The parameter that names the method.
const METHOD: &str = "method";
const ENCODED: &str = "encoded";
const CHECKS: &str = "checks";

/// Working memory of both processes beside the encodings and the method's.
const MEMORY: u64 = 32 << 20;
/// How many lines of the worker's last words are passed on.
const LAST_LINES: usize = 3;

/// The parameters.
const PARAMS: &[Param] = &[
    Param::required(METHOD, ParamType::Method, "The method that encoded."),
    Param::optional("title", ParamType::Text, "What reports call it."),
];

/// The stage kind.
pub static KIND: Verify = Verify;

/// The stage kind `verify`.
#[derive(Debug, Clone, Copy)]
pub struct Verify;

impl StageKind for Verify {
    fn name(&self) -> &'static str {
        "verify"
    }

    fn about(&self) -> &'static str {
        "Decodes in a fresh process that gets the encoded bytes and the profile alone, and compares byte for byte."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/verify"]
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[
                InputPort {
                    name: ENCODED,
                    ty: PortType::Encoded,
                    arity: Arity::One,
                    required: true,
                    about: "What a `bench` encoded.",
                },
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
            name: CHECKS,
            ty: PortType::Table,
            volatile: false,
            about: "One row for each encoding.",
        }]
    }

    fn check(&self, check: &mut Check<'_>) {
        foreign::check_ports(check, METHOD);
        check.output(CHECKS, PortType::Table, schema(), false);
    }

    fn facts(&self, params: &Params) -> Vec<Fact> {
        Recipe::of(params.get(METHOD)).map_or_else(Vec::new, |recipe| recipe.facts())
    }

    fn fact_sorts(&self) -> Vec<&'static FactSort> {
        Recipe::fact_sorts().to_vec()
    }

    fn needs(&self, params: &Params, input_bytes: u64) -> Needs {
        // The worker holds one encoding, which with its original is among the inputs, so that it is hardly ever
        // more than half of them.
        let method = match Recipe::describes(params.get(METHOD)) {
            true => Recipe::memory(input_bytes / 2),
            false => methods::of_value(params.get(METHOD))
                .map_or(0, |method| method.decode_memory(input_bytes)),
        };
        Needs::memory(
            MEMORY
                .saturating_add(input_bytes / 2)
                .saturating_add(method),
        )
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let artifact = task.artifact(ENCODED)?;
        let index = Index::read(task, artifact)?;
        let id = MethodId::of_value(task.params.get(METHOD));
        if index.method != id {
            return Err(TaskError::input(format!(
                "the bytes were encoded with {}, and are to be decoded with {}",
                index.method.to_value(),
                id.to_value()
            )));
        }
        let subject = Subject::open(task)?;
        let groups = subject.groups(index.unit)?;
        check_order(&index, &groups)?;
        let data = task.open(artifact, DATA)?;
        let found = match Recipe::of(task.params.get(METHOD)) {
            Some(recipe) => command(task, &recipe, &index, &groups, &data)?,
            None => own(task, &index, &groups, data)?,
        };

        let mut rows = TableBuilder::new(&schema());
        for (group, compared) in groups.iter().zip(found) {
            let tensor = group.tensor().map(|tensor| tensor.name.as_str());
            let digest = compared.digest.map(|digest| digest.to_hex());
            rows.push_row(vec![
                columns::optional_text(tensor),
                count(group.bytes()),
                Value::Bool(compared.matches()),
                columns::optional_text(digest.as_ref().map(|digest| digest.as_str())),
                columns::optional_count(compared.first_difference),
                columns::optional_text(compared.failure.as_deref()),
            ])
            .map_err(|error| failure::row(&error))?;
        }
        let artifact = task.put_rows(CHECKS, rows)?;
        Ok(Outputs::from([(CHECKS.to_owned(), artifact)]))
    }
}

/// Decodes with a method of ours in the worker. What does not match fails the task.
fn own(
    task: &TaskContext<'_>,
    index: &Index,
    groups: &[Group<'_>],
    data: Blob,
) -> Result<Vec<Compared>, TaskError> {
    foreign::refuse_inputs(task)?;
    let method = methods::of_value(task.params.get(METHOD))?;
    let verifying = Verifying {
        host: task.host,
        method: &*method,
        index,
        groups,
        profile: profile::open(task, PROFILE, task.params.get(METHOD))?,
        data,
    };
    let digests = verifying.all()?.into_iter();
    let matched = digests.map(|digest| Compared {
        digest: Some(digest),
        ..Compared::default()
    });
    Ok(matched.collect())
}

/// Decodes each unit with a program of somebody else's, which is given its encoding and nothing else. What does not
/// match is told.
fn command(
    task: &TaskContext<'_>,
    recipe: &Recipe,
    index: &Index,
    groups: &[Group<'_>],
    data: &Blob,
) -> Result<Vec<Compared>, TaskError> {
    let workshop = Workshop::open(task, recipe)?;
    let total = groups.iter().map(Group::bytes).sum();
    let mut done = 0;
    let mut found = Vec::with_capacity(groups.len());
    for (encoding, group) in index.encodings.iter().zip(groups) {
        found.push(match &encoding.failure {
            Some(failure) => Compared {
                failure: Some(failure.clone()),
                ..Compared::default()
            },
            None => {
                let bytes = weights::slice(data.bytes(), encoding.offset, encoding.bytes)
                    .ok_or_else(|| TaskError::input(format!("{DATA} is too short")))?;
                workshop.check(Content::Bytes(bytes), group)?
            }
        });
        done += group.bytes();
        task.host.progress(done, Some(total));
    }
    Ok(found)
}

/// The columns of the table.
fn schema() -> Schema {
    let [first_difference, failure] = columns::of_difference();
    Schema::new([
        text(
            "tensor",
            "the tensor's name; none where all were encoded as one",
        ),
        whole("bytes", "bytes of the original"),
        truth(
            "matches",
            "whether the decoded bytes are the original, byte for byte",
        ),
        text(
            "blake3",
            "the BLAKE3 digest of the decoded bytes; none where they are not the original",
        ),
        first_difference,
        failure,
    ])
}

/// The encodings must be those of the groups, one for one.
fn check_order(index: &Index, groups: &[Group<'_>]) -> Result<(), TaskError> {
    let same = index.encodings.len() == groups.len()
        && index
            .encodings
            .iter()
            .zip(groups)
            .all(|(encoding, group)| encoding.tensors == group.names());
    if same {
        return Ok(());
    }
    Err(TaskError::input(
        "what was encoded is not what it is to be compared with: other tensors, or another order",
    )
    .with_hint("give `verify` the same input as the `bench` that encoded"))
}

/// A verification.
struct Verifying<'a> {
    host: &'a dyn Host,
    method: &'a dyn Method,
    index: &'a Index,
    groups: &'a [Group<'a>],
    profile: Option<Blob>,
    data: Blob,
}

/// What reading the worker's answers came to.
enum Answer {
    /// Every group came back; the digests of what was decoded.
    Matched(Vec<Hash>),
    /// A group did not come back.
    Wrong(TaskError),
    /// The worker broke off, or did not follow the protocol.
    Broken(io::Error),
}

impl Verifying<'_> {
    /// Lets the worker decode everything, and returns the digests of what it decoded.
    fn all(&self) -> Result<Vec<Hash>, TaskError> {
        let mut command = self.host.worker(WORKER);
        let talk = converse(
            &mut command,
            &Limits::default(),
            |stdin| self.feed(stdin),
            |stdout| self.read(&mut BufReader::with_capacity(PIECE_MAX_BYTES, stdout)),
            &mut || self.host.checkpoint(),
        );
        let Conversation {
            exit,
            fed,
            read,
            stderr,
        } = talk.map_err(|error| match error {
            ProcessError::Stopped { reason, .. } => *reason,
            other => TaskError::new(TaskErrorKind::Outside, other.to_string()),
        })?;
        let broken = |what: String| {
            let mut message = format!("the process that decodes `{}` {what}", self.method.name());
            for line in stderr.last_lines(LAST_LINES) {
                message.push_str("; it said: ");
                message.push_str(&line);
            }
            TaskError::new(TaskErrorKind::Outside, message)
        };
        match read {
            Answer::Wrong(error) => Err(error),
            Answer::Matched(_) if !exit.is_success() => Err(broken(exit.to_string())),
            Answer::Matched(digests) => match fed {
                Ok(()) => Ok(digests),
                Err(error) => Err(broken(format!("did not take its input: {error}"))),
            },
            Answer::Broken(_) if !exit.is_success() => Err(broken(exit.to_string())),
            Answer::Broken(error) => Err(broken(format!("did not answer as it should: {error}"))),
        }
    }

    /// Says what is to be decoded.
    fn feed(&self, stdin: &mut dyn Write) -> io::Result<()> {
        stdin.write_all(REQUEST)?;
        write_short(stdin, &serde_json::to_vec(&self.index.method)?)?;
        match &self.profile {
            None => stdin.write_all(&[NONE])?,
            Some(profile) => {
                stdin.write_all(&[SOME])?;
                write_long(stdin, profile.bytes())?;
            }
        }
        for encoding in &self.index.encodings {
            let bytes = weights::slice(self.data.bytes(), encoding.offset, encoding.bytes)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            stdin.write_all(&[SOME])?;
            write_long(stdin, bytes)?;
        }
        stdin.write_all(&[NONE])
    }

    /// Compares what comes back.
    fn read(&self, stdout: &mut dyn Read) -> Answer {
        match self.read_all(stdout) {
            Ok(Ok(digests)) => Answer::Matched(digests),
            Ok(Err(wrong)) => Answer::Wrong(wrong),
            Err(error) => Answer::Broken(error),
        }
    }

    fn read_all(&self, stdout: &mut dyn Read) -> io::Result<Result<Vec<Hash>, TaskError>> {
        if read_array::<8>(stdout)? != *ANSWER {
            return Err(garbage("this is no answer"));
        }
        let mut buffer = vec![0; PIECE_MAX_BYTES];
        let mut digests = Vec::with_capacity(self.groups.len());
        let total = self.groups.iter().map(Group::bytes).sum();
        let mut done = 0;
        for group in self.groups {
            match read_group(stdout, group, &mut buffer)? {
                Ok(digest) => digests.push(digest),
                Err(wrong) => {
                    let what = format!("{} with `{}`: {wrong}", group.title(), self.method.name());
                    return Ok(Err(TaskError::new(TaskErrorKind::Mismatch, what)));
                }
            }
            done += group.bytes();
            self.host.progress(done, Some(total));
        }
        match stdout.read(&mut buffer)? {
            0 => Ok(Ok(digests)),
            _ => Err(garbage("there is more than was asked for")),
        }
    }
}

/// Why a group did not come back.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("{0}")]
    Difference(Difference),
    #[error("it cannot be decoded: {0}")]
    Refused(String),
}

/// Reads the pieces of one group and compares them.
fn read_group(
    stdout: &mut dyn Read,
    group: &Group<'_>,
    buffer: &mut [u8],
) -> io::Result<Result<Hash, Wrong>> {
    let mut comparing = Comparing::new(group.views.iter().map(|view| view.data));
    loop {
        let length = read_u32(stdout)? as usize;
        if length == 0 {
            break;
        }
        let piece = buffer
            .get_mut(..length)
            .ok_or_else(|| garbage(format!("a piece of {length} bytes")))?;
        stdout.read_exact(piece)?;
        if comparing.write_all(piece).is_err() {
            break;
        }
    }
    if let Some(difference) = comparing.difference() {
        return Ok(Err(Wrong::Difference(difference)));
    }
    match read_byte(stdout)? {
        NONE => Ok(comparing.finish().map_err(Wrong::Difference)),
        SOME => {
            let length = read_u32(stdout)? as usize;
            if length > MESSAGE_MAX_BYTES {
                return Err(garbage(format!("a message of {length} bytes")));
            }
            let mut message = vec![0; length];
            stdout.read_exact(&mut message)?;
            let message = String::from_utf8_lossy(&message).into_owned();
            Ok(Err(Wrong::Refused(message)))
        }
        other => Err(garbage(format!("decoded bytes that end with {other}"))),
    }
}
