//! `load_profile`: takes a file that others made as a profile.

use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::task::{Needs, Outputs, TaskContext, TaskError};

use crate::profile::{MAX_BYTES, Origin, TrainedOn};
use crate::weights::{FILE, PROFILE};

/// The parameter that says on which families the profile was trained.
const TRAINED_ON: &str = "trained_on";

/// Working memory: the profile.
const MEMORY: u64 = 2 * MAX_BYTES;

/// The parameters.
const PARAMS: &[Param] = &[Param::required(
    TRAINED_ON,
    ParamType::List(&ParamType::Text),
    "The families of the models that the profile was trained on, as corpora name them. No model of these can be tested with it.",
)];

/// The stage kind.
pub static KIND: LoadProfile = LoadProfile;

/// The stage kind `load_profile`.
#[derive(Debug, Clone, Copy)]
pub struct LoadProfile;

impl StageKind for LoadProfile {
    fn name(&self) -> &'static str {
        "load_profile"
    }

    fn about(&self) -> &'static str {
        "Takes a file that was made elsewhere as a profile, and says what it was trained on."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/load_profile.rs"]
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[InputPort {
                name: FILE,
                ty: PortType::File,
                arity: Arity::One,
                required: true,
                about: "The profile.",
            }],
            open: None,
            one_of: &[],
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        &[OutputPort {
            name: PROFILE,
            ty: PortType::Profile,
            volatile: false,
            about: "The profile, and what it was trained on.",
        }]
    }

    fn check(&self, check: &mut Check<'_>) {
        check.output(PROFILE, PortType::Profile, Schema::default(), false);
    }

    fn learnt_from(&self, params: &Params) -> Vec<String> {
        params
            .texts(TRAINED_ON)
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    fn needs(&self, _params: &Params, _input_bytes: u64) -> Needs {
        Needs::memory(MEMORY)
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let artifact = task.artifact(FILE)?;
        let [file] = artifact.files() else {
            return Err(TaskError::input(format!(
                "a profile is one file, and {} came in",
                artifact.files().len()
            )));
        };
        if file.blob.bytes > MAX_BYTES {
            return Err(TaskError::input(format!(
                "{} has {} bytes; a profile has at most {MAX_BYTES}",
                file.name, file.blob.bytes
            )));
        }
        let blob = task.host.blob(file.blob)?;
        let families = self.learnt_from(task.params).into_iter().collect();
        let origin = Origin::loaded(TrainedOn::families(families));
        let artifact = origin.store(task, blob.bytes())?;
        Ok(Outputs::from([(PROFILE.to_owned(), artifact)]))
    }
}
