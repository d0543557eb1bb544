//! `verdict`: what an experiment found, for people and for programs.
//!
//! There are two documents. The verdict has everything that anyone can reproduce to the byte; speeds, and claims
//! about speeds, have one of their own, so that measuring again does not change the verdict.

mod claims;
mod gather;
mod markdown;
mod report;

use llmcl_stages_api::artifact::{Artifact, ArtifactFile};
use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::task::{Needs, Outputs, TaskContext, TaskError};
use llmcl_stages_api::value::Type;
use serde::Serialize;

use crate::expressions::{needs_of_tables, unknown_column, wrong_value};

use report::{Speeds, Verdict};

/// The parameter that names the report.
const TITLE: &str = "title";
/// The port of gates and findings.
const OUTCOMES: &str = "outcomes";
/// The port of tables that are shown.
const TABLES: &str = "tables";
/// The port of tables whose rows must match.
const CHECKS: &str = "checks";
/// The port of measured times, in and out.
const SPEEDS: &str = "speeds";
/// The port that the verdict goes out at.
const VERDICT: &str = "verdict";
/// The column that says whether a check is passed.
const MATCHES: &str = "matches";

/// The stage kind.
pub static KIND: VerdictKind = VerdictKind;

/// The stage kind `verdict`.
#[derive(Debug, Clone, Copy)]
pub struct VerdictKind;

const PARAMS: &[Param] = &[Param::optional(
    TITLE,
    ParamType::Text,
    "The heading; `Verdict` where it is left out.",
)];

const fn optional(name: &'static str, ty: PortType, about: &'static str) -> InputPort {
    InputPort {
        name,
        ty,
        arity: Arity::Many,
        required: false,
        about,
    }
}

const INPUTS: &[InputPort] = &[
    optional(
        OUTCOMES,
        PortType::Outcome,
        "The gates and findings, in the order in which they are shown.",
    ),
    optional(TABLES, PortType::Table, "The tables to show."),
    optional(
        CHECKS,
        PortType::Table,
        "Tables with a column `matches`, which must be true in each row.",
    ),
    optional(
        SPEEDS,
        PortType::Table,
        "Tables of measured times, which go into a document of their own.",
    ),
];

impl StageKind for VerdictKind {
    fn name(&self) -> &'static str {
        "verdict"
    }

    fn about(&self) -> &'static str {
        "Writes down what an experiment found: outcomes, figures, checks, what was pruned, and claims."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/verdict"]
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: INPUTS,
            open: None,
            one_of: &[],
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        &[
            OutputPort {
                name: VERDICT,
                ty: PortType::Report,
                volatile: false,
                about: "verdict.md and verdict.json: all that can be reproduced to the byte.",
            },
            OutputPort {
                name: SPEEDS,
                ty: PortType::Report,
                volatile: true,
                about: "speeds.md and speeds.json: measured times, and claims about them.",
            },
        ]
    }

    fn reports_pruned(&self) -> bool {
        true
    }

    fn reads_volatile(&self) -> bool {
        true
    }

    fn owns_claims(&self) -> bool {
        true
    }

    fn check(&self, check: &mut Check<'_>) {
        check.output(VERDICT, PortType::Report, Schema::default(), false);
        check.output(SPEEDS, PortType::Report, Schema::default(), true);
        let inputs = check.inputs;
        if inputs.is_empty() {
            let message = "nothing comes in, so there is nothing to report";
            let help = "give at least one of `outcomes`, `tables`, `checks`, `speeds`";
            check.problem(&[], wrong_value(message, Some(help)));
        }
        for port in [TABLES, CHECKS] {
            if inputs.get(port).is_some_and(|input| input.volatile) {
                let message =
                    format!("what comes in at the port `{port}` is measured time, or made from it");
                check.problem(
                    &[],
                    wrong_value(message, Some("give it at the port `speeds`")),
                );
            }
        }
        if let Some(rows) = check.schema(CHECKS) {
            match rows.column(MATCHES) {
                Some(column) if !matches!(column.ty, Type::Bool | Type::Any) => {
                    let message = format!(
                        "the column `{MATCHES}` at the port `{CHECKS}` is {}, and a truth value is needed",
                        column.ty
                    );
                    check.problem(&[], wrong_value(message, None));
                }
                None if !rows.is_open() => check.problem(&[], unknown_column(MATCHES, rows)),
                _ => {}
            }
        }
        claims::check(check);
    }

    fn needs(&self, _params: &Params, input_bytes: u64) -> Needs {
        needs_of_tables(input_bytes)
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let title = task.params.text(TITLE);
        let (volatile, claims): (Vec<_>, Vec<_>) = claims::judge(task)?
            .into_iter()
            .partition(|judged| judged.volatile);
        let take =
            |judged: Vec<claims::Judged>| judged.into_iter().map(|judged| judged.claim).collect();
        let speeds = Speeds {
            version: report::VERSION,
            title: title.to_owned(),
            tables: gather::tables(task, SPEEDS)?,
            claims: take(volatile),
        };
        let verdict = Verdict {
            version: report::VERSION,
            title: title.to_owned(),
            outcomes: gather::gates(task)?,
            claims: take(claims),
            checks: gather::checks(task)?,
            tables: gather::tables(task, TABLES)?,
            pruned: gather::pruned(task),
        };
        let has_speeds = !speeds.is_empty();
        Ok(Outputs::from([
            (
                VERDICT.to_owned(),
                document(
                    task,
                    VERDICT,
                    &markdown::verdict(&verdict, has_speeds)?,
                    &verdict,
                )?,
            ),
            (
                SPEEDS.to_owned(),
                document(task, SPEEDS, &markdown::speeds(&speeds)?, &speeds)?,
            ),
        ]))
    }
}

/// Stores `<name>.md` and `<name>.json`.
fn document(
    task: &TaskContext<'_>,
    name: &str,
    markdown: &str,
    json: &impl Serialize,
) -> Result<Artifact, TaskError> {
    let text = ArtifactFile {
        name: format!("{name}.md"),
        blob: task.host.put(markdown.as_bytes())?,
    };
    let json = task.put_json(&format!("{name}.json"), json)?;
    Ok(Artifact::new(vec![text, json], Vec::new()))
}
