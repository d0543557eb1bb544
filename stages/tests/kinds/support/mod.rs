//! What tests of several kinds need.

pub(crate) mod host;
pub(crate) mod server;
pub(crate) mod tables;
pub(crate) mod weights;
pub(crate) mod wheel;

use std::collections::BTreeMap;
use std::sync::Arc;

use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::expr::AxisFields;
use llmcl_stages_api::kind::{Check, CheckResult, InputSchema, ProblemKind, StageKind};
use llmcl_stages_api::param::Params;
use llmcl_stages_api::task::{Member, MemberState, Outputs, TaskContext, TaskError};
use llmcl_stages_api::value::Value;
use serde_json::Value as Json;

use host::TestHost;

/// The parameters that a JSON object holds.
pub(crate) fn params(json: &Json) -> Params {
    Value::from_json(json)
        .as_record()
        .unwrap()
        .clone()
        .into_iter()
        .collect()
}

/// A member of an input with these labels.
pub(crate) fn member(labels: &[(&str, &str)], artifact: Artifact) -> Member {
    Member {
        title: String::new(),
        labels: labels
            .iter()
            .map(|(axis, label)| ((*axis).to_owned(), Value::Text((*label).to_owned())))
            .collect(),
        state: MemberState::Present(artifact),
    }
}

/// Runs a task without inputs.
pub(crate) fn run(
    kind: &dyn StageKind,
    host: &TestHost,
    json: &Json,
) -> Result<Outputs, TaskError> {
    run_with(kind, host, json, &BTreeMap::new())
}

/// Runs a task.
pub(crate) fn run_with(
    kind: &dyn StageKind,
    host: &TestHost,
    json: &Json,
    inputs: &BTreeMap<String, Vec<Member>>,
) -> Result<Outputs, TaskError> {
    kind.run(&TaskContext {
        params: &params(json),
        inputs,
        axis_fields: &AxisFields::default(),
        host,
    })
}

/// Checks a stage with one task.
pub(crate) fn check(
    kind: &dyn StageKind,
    json: &Json,
    inputs: &BTreeMap<String, InputSchema>,
) -> CheckResult {
    let axes = BTreeMap::new();
    let tasks = [Arc::new(params(json))];
    let mut check = Check::new(&axes, &tasks, inputs);
    kind.check(&mut check);
    check.finish()
}

/// The problems of a check, each as `place: message`.
pub(crate) fn problems(result: &CheckResult) -> Vec<String> {
    result
        .problems
        .iter()
        .map(|problem| {
            let message = match &problem.kind {
                ProblemKind::Value { message, .. } => message.clone(),
                other => format!("{other:?}"),
            };
            format!("{}: {message}", problem.path.join("."))
        })
        .collect()
}
