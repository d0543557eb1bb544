//! Claims: published figures, held against ours.

use std::collections::BTreeMap;

use llmcl_stages_api::expr::{self, Env, Mode, Scope};
use llmcl_stages_api::kind::Check;
use llmcl_stages_api::task::{MemberState, TaskContext, TaskError};
use llmcl_stages_api::value::{Type, Value};

use crate::expressions::wrong_value;

use super::report::{Claim, Standing};

/// The parameter that the engine gives.
const CLAIMS: &str = "claims";

/// A claim that has been judged.
pub(super) struct Judged {
    pub(super) claim: Claim,
    /// Whether our figure is a measured time, or made from one.
    pub(super) volatile: bool,
}

/// Checks that each statistic is a number that can be computed from its table alone.
pub(super) fn check(check: &mut Check<'_>) {
    let (tasks, inputs) = (check.tasks, check.inputs);
    let Some(params) = tasks.first() else { return };
    let claims = params.get(CLAIMS).field("list").as_list();
    for claim in claims.unwrap_or_default() {
        let (port, statistic) = (claim.field("port"), claim.field("statistic"));
        let (Some(port), Some(statistic)) = (port.as_text(), statistic.as_text()) else {
            continue;
        };
        let Some(input) = inputs.get(port) else {
            continue;
        };
        let scope = Scope {
            variables: BTreeMap::new(),
            tables: vec![(port.to_owned(), &input.schema)],
            mode: Mode::Aggregate,
        };
        let result = expr::parse(statistic).and_then(|expr| {
            let checked = expr::check(&expr, &scope)?;
            expr::expect(&expr, checked, &Type::Float).map_err(|error| vec![error])
        });
        if let Some(error) = result.err().and_then(|errors| errors.into_iter().next()) {
            let name = claim.field("name").as_text().unwrap_or_default();
            let message = format!("the statistic of the claim `{name}`: {error}");
            let help =
                "a claim's statistic is a number over the columns of its table, by their own names";
            check.problem(&[CLAIMS], wrong_value(message, Some(help)));
        }
    }
}

/// Judges all claims, in their order.
pub(super) fn judge(task: &TaskContext<'_>) -> Result<Vec<Judged>, TaskError> {
    let claims = task.params.get(CLAIMS);
    let corpora = claims.field("corpora").as_list().unwrap_or_default();
    let claims = claims.field("list").as_list().unwrap_or_default();
    claims
        .iter()
        .map(|claim| {
            task.host.checkpoint()?;
            Ok(Judged {
                claim: judge_one(task, claim, corpora)?,
                volatile: claim.field("volatile").as_bool() == Some(true),
            })
        })
        .collect()
}

fn judge_one(task: &TaskContext<'_>, claim: &Value, corpora: &[Value]) -> Result<Claim, TaskError> {
    let text = |field| claim.field(field).as_text().map(str::to_owned);
    let mut judged = Claim {
        name: text("name").unwrap_or_default(),
        source: text("source"),
        published: claim.field("published").as_number(),
        tolerance: claim.field("tolerance").as_number(),
        corpus: text("corpus"),
        standing: Standing::NotComparable,
        ours: None,
        difference: None,
        note: text("reason"),
    };
    let (Some(port), Some(statistic)) = (text("port"), text("statistic")) else {
        return Ok(judged);
    };
    let pruned = pruned(task, &port);
    let (standing, note) = match pruned {
        Pruned::All(why) => (Standing::Pruned, Some(why)),
        Pruned::Some(_) | Pruned::None => match figure(task, &port, &statistic)? {
            Ok(ours) => {
                judged.ours = Some(ours);
                let (standing, note) = compare(&mut judged, ours, corpora);
                (standing, join(note, pruned.note()))
            }
            Err(why) => (Standing::NoFigure, join(Some(why), pruned.note())),
        },
    };
    judged.standing = standing;
    judged.note = join(note, judged.note.take());
    Ok(judged)
}

/// Holds our figure against the published one, unless that is about other models.
fn compare(claim: &mut Claim, ours: f64, corpora: &[Value]) -> (Standing, Option<String>) {
    if let Some(corpus) = &claim.corpus
        && !corpora.iter().any(|known| known.as_text() == Some(corpus))
    {
        let names: Vec<&str> = corpora.iter().filter_map(Value::as_text).collect();
        let here = if names.is_empty() {
            String::new()
        } else {
            format!(", ours about {}", names.join(", "))
        };
        let note = format!("published about {corpus}{here}");
        return (Standing::OtherCorpus, Some(note));
    }
    let Some(published) = claim.published else {
        return (
            Standing::NotComparable,
            Some("no figure was published".to_owned()),
        );
    };
    let difference = ours - published;
    claim.difference = Some(difference);
    let standing = if difference.abs() <= claim.tolerance.unwrap_or_default() {
        Standing::Agrees
    } else {
        Standing::Differs
    };
    (standing, None)
}

/// What is missing from a claim's table, and why.
enum Pruned {
    All(String),
    Some(String),
    None,
}

impl Pruned {
    fn note(self) -> Option<String> {
        match self {
            Self::All(note) | Self::Some(note) => Some(note),
            Self::None => None,
        }
    }
}

fn pruned(task: &TaskContext<'_>, port: &str) -> Pruned {
    let members = task.members(port);
    let reasons: Vec<String> = members
        .iter()
        .filter_map(|member| match &member.state {
            MemberState::Pruned(reason) => Some(format!("{} is {}", reason.gate, reason.outcome)),
            MemberState::Present(_) => None,
        })
        .collect();
    match reasons.first() {
        None => Pruned::None,
        Some(first) if reasons.len() == members.len() => Pruned::All(first.clone()),
        Some(first) => Pruned::Some(format!(
            "{} of {} tasks were pruned: {first}",
            reasons.len(),
            members.len()
        )),
    }
}

/// Our figure, or why there is none.
fn figure(
    task: &TaskContext<'_>,
    port: &str,
    statistic: &str,
) -> Result<Result<f64, String>, TaskError> {
    let table = task.table(port)?;
    let tables = [(port.to_owned(), &table)];
    let env = Env::tables(&tables, task.axis_fields);
    let expr = match expr::parse(statistic) {
        Ok(expr) => expr,
        Err(errors) => {
            return Ok(Err(errors
                .first()
                .map(ToString::to_string)
                .unwrap_or_default()));
        }
    };
    Ok(match expr::eval(&expr, &env) {
        Ok(value) => value
            .as_number()
            .ok_or_else(|| format!("the statistic is {value}, which is no number")),
        Err(error) => Err(error.to_string()),
    })
}

fn join(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first}; {second}")),
        (first, second) => first.or(second),
    }
}
