//! `train_profile`: what a method learns from tensors.

use std::collections::{BTreeMap, BTreeSet};

use llmcl_codecs::TensorView;
use llmcl_stages_api::kind::{Check, ProblemKind, StageKind};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::task::{Member, MemberState, Needs, Outputs, TaskContext, TaskError};
use llmcl_stages_api::value::{Type, Value};

use crate::methods;
use crate::profile::{Origin, TrainedOn};
use crate::weights::{PROFILE, TENSORS, Weights};

/// The parameter that names the method.
const METHOD: &str = "method";
/// The field of an axis that says which models are of one kin.
const FAMILY: &str = "family";

/// Working memory: samples and counts. The tensors themselves are mapped.
const MEMORY: u64 = 512 << 20;

/// The parameters.
const PARAMS: &[Param] = &[Param::required(
    METHOD,
    ParamType::Method,
    "The method that learns.",
)];

/// The stage kind.
pub static KIND: TrainProfile = TrainProfile;

/// The stage kind `train_profile`.
#[derive(Debug, Clone, Copy)]
pub struct TrainProfile;

impl StageKind for TrainProfile {
    fn name(&self) -> &'static str {
        "train_profile"
    }

    fn about(&self) -> &'static str {
        "Has a method learn a profile from the tensors of train models."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/train_profile.rs"]
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[InputPort {
                name: TENSORS,
                ty: PortType::Tensors,
                arity: Arity::Many,
                required: true,
                about: "The tensors to learn from.",
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
            about: "What was learnt, and from what.",
        }]
    }

    fn check(&self, check: &mut Check<'_>) {
        for method in check.values(METHOD) {
            let name = method.field("name").as_text().unwrap_or_default();
            if !name.is_empty() && !methods::learns(name) {
                check.problem(
                    &[METHOD],
                    ProblemKind::Value {
                        message: format!("`{name}` learns nothing: it needs no profile"),
                        help: Some(
                            "leave it out with a `where`, such as \"method.trained\"".to_owned(),
                        ),
                    },
                );
            }
        }
        // A profile says of which families it is.
        let axes: Vec<String> = check
            .schema(TENSORS)
            .into_iter()
            .flat_map(Schema::columns)
            .filter(
                |column| matches!(&column.ty, Type::Axis(axis) if axis.fields.contains_key(FAMILY)),
            )
            .map(|column| column.name.clone())
            .collect();
        for axis in axes {
            check.reads(&axis, FAMILY);
        }
        check.output(PROFILE, PortType::Profile, Schema::default(), false);
    }

    fn needs(&self, _params: &Params, _input_bytes: u64) -> Needs {
        Needs::memory(MEMORY)
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let named = task.params.get(METHOD);
        let method = methods::of_value(named)?;
        let mut sets = Vec::new();
        let mut trained_on = Vec::new();
        for member in task.members(TENSORS) {
            let MemberState::Present(artifact) = &member.state else {
                continue;
            };
            let weights = Weights::of_artifact(task, artifact)?;
            trained_on.push(TrainedOn {
                labels: labels(member),
                families: families(task, member),
                tensors: weights.tensors().len() as u64,
                bytes: weights.tensors().iter().map(|tensor| tensor.bytes).sum(),
                digest: Some(artifact.digest()),
            });
            sets.push(weights);
        }
        let mut tensors: Vec<TensorView<'_>> = Vec::new();
        for weights in &sets {
            tensors.extend(weights.views()?);
        }
        tensors.retain(|tensor| methods::learns_from(&method.name(), tensor.dtype));
        if tensors.is_empty() {
            return Err(TaskError::input(format!(
                "none of the tensors is of a type that `{}` learns from",
                method.name()
            )));
        }
        task.host.checkpoint()?;
        let profile = methods::train(&method.name(), &tensors)?;
        let origin = Origin::trained(named, trained_on);
        let artifact = origin.store(task, &profile)?;
        Ok(Outputs::from([(PROFILE.to_owned(), artifact)]))
    }
}

/// The values that a member has on the axes of its stage.
fn labels(member: &Member) -> BTreeMap<String, String> {
    let label = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        other => other.to_string(),
    };
    let labels = member.labels.iter();
    labels
        .map(|(axis, value)| (axis.clone(), label(value)))
        .collect()
}

/// The families that the axes say a member is of.
fn families(task: &TaskContext<'_>, member: &Member) -> BTreeSet<String> {
    labels(member)
        .iter()
        .filter_map(|(axis, label)| {
            let family = task.axis_fields.get(axis)?.get(label)?.get(FAMILY)?;
            family.as_text().map(str::to_owned)
        })
        .collect()
}
