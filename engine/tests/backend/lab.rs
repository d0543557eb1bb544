//! Stage kinds for tests: what they do is in their parameters, and the lab sees them at work.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blake3::Hash;
use llmcl_stages_api::artifact::{Artifact, BlobRef};
use llmcl_stages_api::fingerprint::Fingerprints;
use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::machine::{Fact, FactSort};
use llmcl_stages_api::outcome::{self, Outcome};
use llmcl_stages_api::param::{Param, ParamType, Params, Presence};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::registry::{MethodCatalog, MethodInfo, MethodProblem, Registry};
use llmcl_stages_api::task::{
    Member, MemberState, Needs, Outputs, Outside, TaskContext, TaskError, TaskErrorKind,
};
use llmcl_stages_api::value::Value;

/// What the kinds of one test share.
#[derive(Default)]
pub(crate) struct Lab {
    /// How often any task ran.
    pub(crate) runs: AtomicUsize,
    /// How often a task with this text was attempted.
    pub(crate) attempts: Mutex<HashMap<String, u32>>,
    /// The order in which tasks began, by their texts.
    pub(crate) order: Mutex<Vec<String>>,
    running: AtomicUsize,
    memory: AtomicU64,
    exclusive: AtomicUsize,
    /// The most tasks that ran at a time.
    pub(crate) most_running: AtomicUsize,
    /// The most memory that more than one task had at a time.
    pub(crate) most_memory: AtomicU64,
    /// Whether an exclusive task ever had company.
    pub(crate) disturbed: AtomicBool,
    /// What the machine says of itself.
    pub(crate) setting: Mutex<String>,
}

/// A machine is what its setting is called.
static SETTING: FactSort = FactSort {
    name: "setting",
    find: |name| Ok(Value::Text(name.to_owned())),
};

/// What a kind does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Flavor {
    /// Puts out its text and what comes in.
    Concat,
    /// Puts out GREEN if what comes in, digested, is under its threshold.
    Gate,
    /// As concat, and says what was pruned.
    Report,
}

pub(crate) struct Mock {
    flavor: Flavor,
    lab: Arc<Lab>,
}

const fn param(name: &'static str, ty: ParamType) -> Param {
    Param {
        name,
        ty,
        presence: Presence::Optional,
        in_key: true,
        about: "",
    }
}

const COUNT: ParamType = ParamType::Int {
    min: 0,
    max: i64::MAX,
};
static SOURCE: [Param; 3] = [
    param("sha256", ParamType::Text),
    Param {
        in_key: false,
        ..param("url", ParamType::Text)
    },
    param("helper", ParamType::FilePath),
];
static PARAMS: [Param; 17] = [
    param("text", ParamType::Text),
    param("threshold", COUNT),
    param("modulus", COUNT),
    param("bulk", ParamType::Bool),
    param("refer", ParamType::Bool),
    param("exclusive", ParamType::Bool),
    param("memory", COUNT),
    param("sleep", COUNT),
    param("fail_times", COUNT),
    param("fail", ParamType::Text),
    param("retries", COUNT),
    param("limit", COUNT),
    param("wait_for_stop", ParamType::Bool),
    param("path", ParamType::FilePath),
    param("paths", ParamType::List(&ParamType::FilePath)),
    param("source", ParamType::Record(&SOURCE)),
    Param {
        in_key: false,
        ..param("mirror", ParamType::Text)
    },
];
static INPUT: InputPort = InputPort {
    name: "in",
    ty: PortType::File,
    arity: Arity::Many,
    required: false,
    about: "",
};

const fn output(ty: PortType) -> OutputPort {
    OutputPort {
        name: "out",
        ty,
        volatile: false,
        about: "",
    }
}

static FILE: [OutputPort; 1] = [output(PortType::File)];
static OUTCOME: [OutputPort; 1] = [output(PortType::Outcome)];

impl Mock {
    pub(crate) fn leaked(flavor: Flavor, lab: &Arc<Lab>) -> &'static Self {
        Box::leak(Box::new(Self {
            flavor,
            lab: Arc::clone(lab),
        }))
    }
}

impl StageKind for Mock {
    fn name(&self) -> &'static str {
        match self.flavor {
            Flavor::Concat => "concat",
            Flavor::Gate => "gate",
            Flavor::Report => "report",
        }
    }

    fn about(&self) -> &'static str {
        "A kind for tests."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["leaf"]
    }

    fn params(&self) -> &'static [Param] {
        &PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: std::slice::from_ref(&INPUT),
            open: None,
            one_of: &[],
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        match self.flavor {
            Flavor::Gate => &OUTCOME,
            Flavor::Concat | Flavor::Report => &FILE,
        }
    }

    fn check(&self, _check: &mut Check<'_>) {}

    fn ready(&self, params: &Params) -> Result<(), TaskError> {
        match params.text("fail") {
            "ready" => Err(TaskError::input("not ready").with_hint("get ready")),
            _ => Ok(()),
        }
    }

    fn facts(&self, _params: &Params) -> Vec<Fact> {
        let name = self.lab.setting.lock().unwrap().clone();
        vec![Fact {
            sort: &SETTING,
            name,
        }]
    }

    fn needs(&self, params: &Params, _input_bytes: u64) -> Needs {
        let retries = u32::try_from(params.int("retries")).unwrap();
        let limit = u64::try_from(params.int("limit")).unwrap();
        Needs {
            memory: memory(params),
            exclusive: params.get("exclusive") == &Value::Bool(true),
            outside: (retries > 0 || limit > 0).then_some(Outside {
                retries,
                time_limit: (limit > 0).then_some(Duration::from_millis(limit)),
            }),
        }
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let lab = &*self.lab;
        lab.runs.fetch_add(1, Ordering::SeqCst);
        let _guard = Instrument::begin(lab, task.params);
        let text = task.params.text("text").to_owned();
        lab.order.lock().unwrap().push(text.clone());
        let attempt = {
            let mut attempts = lab.attempts.lock().unwrap();
            let attempt = attempts.entry(text.clone()).or_default();
            *attempt += 1;
            i64::from(*attempt)
        };
        std::thread::sleep(Duration::from_millis(
            task.params.int("sleep").unsigned_abs(),
        ));
        while task.params.get("wait_for_stop") == &Value::Bool(true) {
            task.host.checkpoint()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        if attempt <= task.params.int("fail_times") {
            return Err(TaskError::new(TaskErrorKind::Passing, "the line was busy"));
        }
        let mut parts = vec![text];
        for (port, members) in task.inputs {
            for member in members {
                parts.push(format!("{port}:{}", heard(task, member)?));
            }
        }
        match task.params.text("fail") {
            "panic" => panic!("as asked"),
            "error" => return Err(TaskError::input("as asked")),
            "nothing" => return Ok(Outputs::new()),
            "port" => {
                let blob = task.host.put(b"x")?;
                return Ok(Outputs::from([
                    ("out".to_owned(), Artifact::single("x", blob)),
                    ("other".to_owned(), Artifact::single("x", blob)),
                ]));
            }
            "resume" => {
                let folder = task.host.resumable()?;
                if !folder.join("half").exists() {
                    std::fs::write(folder.join("half"), "").unwrap();
                    return Err(TaskError::input("half done"));
                }
            }
            _ => {}
        }
        let artifact = match self.flavor {
            Flavor::Gate => Artifact::new(
                vec![task.put_json(outcome::FILE, &decide(task, &parts.join("\n")))?],
                vec![],
            ),
            Flavor::Concat | Flavor::Report => {
                let content = put_out(task.params, &parts.join("\n"));
                let blob = task.host.put(content.as_bytes())?;
                assert_eq!(task.host.blob(blob)?.bytes(), content.as_bytes());
                let file = Artifact::single("text", blob).files().to_vec();
                Artifact::new(file, referents(task))
            }
        };
        Ok(Outputs::from([("out".to_owned(), artifact)]))
    }
}

fn memory(params: &Params) -> u64 {
    params.int("memory").unsigned_abs()
}

/// What the artifact of a task that refers points into: all that came in.
fn referents(task: &TaskContext<'_>) -> Vec<BlobRef> {
    let members = task.inputs.values().flatten();
    members
        .filter(|_| task.params.get("refer") == &Value::Bool(true))
        .filter_map(|member| match &member.state {
            MemberState::Present(artifact) => Some(artifact.blobs()),
            MemberState::Pruned(_) => None,
        })
        .flatten()
        .collect()
}

fn heard(task: &TaskContext<'_>, member: &Member) -> Result<String, TaskError> {
    match &member.state {
        MemberState::Present(artifact) => {
            let mut said = String::new();
            for blob in artifact.blobs() {
                said.push_str(&String::from_utf8_lossy(task.host.blob(blob)?.bytes()));
            }
            Ok(said)
        }
        MemberState::Pruned(reason) => Ok(format!("pruned by {} {}", reason.gate, reason.outcome)),
    }
}

/// What a concat puts out for what it has heard. With a modulus much comes out the same.
pub(crate) fn put_out(params: &Params, heard: &str) -> String {
    let mut content = match params.int("modulus") {
        0 => blake3::hash(heard.as_bytes()).to_hex().to_string(),
        modulus => (score(heard) % modulus.unsigned_abs()).to_string(),
    };
    if params.get("bulk") == &Value::Bool(true) {
        content = content.repeat(5000);
    }
    content
}

/// The outcome of a gate that has heard this.
pub(crate) fn outcome_of(params: &Params, heard: &str) -> &'static str {
    if score(heard) % 100 < params.int("threshold").unsigned_abs() {
        "GREEN"
    } else {
        "RED"
    }
}

fn decide(task: &TaskContext<'_>, heard: &str) -> Outcome {
    Outcome {
        version: 1,
        title: "gate".to_owned(),
        outcome: outcome_of(task.params, heard).to_owned(),
        note: None,
        statistics: BTreeMap::new(),
        outcomes: Vec::new(),
    }
}

fn score(heard: &str) -> u64 {
    u64::from_le_bytes(
        blake3::hash(heard.as_bytes()).as_bytes()[..8]
            .try_into()
            .unwrap(),
    )
}

/// Watches over what runs beside what.
struct Instrument<'a> {
    lab: &'a Lab,
    memory: u64,
    exclusive: bool,
}

impl<'a> Instrument<'a> {
    fn begin(lab: &'a Lab, params: &Params) -> Self {
        let exclusive = params.get("exclusive") == &Value::Bool(true);
        let memory = memory(params);
        let running = lab.running.fetch_add(1, Ordering::SeqCst) + 1;
        lab.most_running.fetch_max(running, Ordering::SeqCst);
        let used = lab.memory.fetch_add(memory, Ordering::SeqCst) + memory;
        if used > memory {
            lab.most_memory.fetch_max(used, Ordering::SeqCst);
        }
        let others = lab
            .exclusive
            .fetch_add(usize::from(exclusive), Ordering::SeqCst);
        if running > 1 && (exclusive || others > 0) {
            lab.disturbed.store(true, Ordering::SeqCst);
        }
        Self {
            lab,
            memory,
            exclusive,
        }
    }
}

impl Drop for Instrument<'_> {
    fn drop(&mut self) {
        self.lab
            .exclusive
            .fetch_sub(usize::from(self.exclusive), Ordering::SeqCst);
        self.lab.memory.fetch_sub(self.memory, Ordering::SeqCst);
        self.lab.running.fetch_sub(1, Ordering::SeqCst);
    }
}

struct NoMethods;

impl MethodCatalog for NoMethods {
    fn resolve(
        &self,
        _name: &str,
        _fields: &BTreeMap<String, Value>,
    ) -> Result<MethodInfo, MethodProblem> {
        Err(MethodProblem::Unknown)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A registry whose code has these digests.
pub(crate) fn registry(shared: &str, leaf: &str) -> Registry {
    let digest = |text: &str| -> Hash { blake3::hash(text.as_bytes()) };
    Registry {
        kinds: Vec::new(),
        methods: &NoMethods,
        fingerprints: Fingerprints {
            shared: Some(digest(shared)),
            leaves: [("leaf".to_owned(), digest(leaf))].into(),
        },
    }
}
