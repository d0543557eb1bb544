//! `golden`: holds the SHA-256 of every encoding against a committed list.
//!
//! A difference is no failure of the task but a row that does not match, so that all differences are seen at once
//! and a gate says what follows from them.

mod compare;
mod list;

use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::task::{Needs, Outputs, TaskContext, TaskError};

use crate::expressions::{needs_of_tables, unknown_column, wrong_value};

use compare::{compare, output_columns};
use list::List;

/// The port that the rows of a benchmark come in at.
const ROWS: &str = "rows";
/// The port that the committed list comes in at.
const EXPECTED: &str = "expected";
/// The port that the comparison goes out at, and the name of its file.
const CHECKS: &str = "checks";
/// The port that this run's own list goes out at.
const LIST: &str = "list";
/// The file with this run's own list.
const LIST_FILE: &str = "expected-checksums.json";

/// The stage kind.
pub static KIND: Golden = Golden;

/// The stage kind `golden`.
#[derive(Debug, Clone, Copy)]
pub struct Golden;

impl StageKind for Golden {
    fn name(&self) -> &'static str {
        "golden"
    }

    fn about(&self) -> &'static str {
        "Holds the SHA-256 of every encoding against a committed list."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/golden"]
    }

    fn params(&self) -> &'static [Param] {
        const {
            &[Param::optional(
                "title",
                ParamType::Text,
                "What reports call it.",
            )]
        }
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[
                InputPort {
                    name: ROWS,
                    ty: PortType::Table,
                    arity: Arity::Many,
                    required: true,
                    about: "The rows of a benchmark, one for each encoding.",
                },
                InputPort {
                    name: EXPECTED,
                    ty: PortType::File,
                    arity: Arity::One,
                    required: true,
                    about: "The committed list, a JSON file.",
                },
            ],
            open: None,
            one_of: &[],
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        &[
            OutputPort {
                name: CHECKS,
                ty: PortType::Table,
                volatile: false,
                about: "The rows with `state`, `expected`, `found` and `matches`.",
            },
            OutputPort {
                name: LIST,
                ty: PortType::File,
                volatile: false,
                about: "The list as this run would have it, ready to be committed.",
            },
        ]
    }

    fn check(&self, check: &mut Check<'_>) {
        let rows = check.schema(ROWS).cloned();
        let rows = rows.unwrap_or_else(|| Schema::default().open());
        for (name, ty) in compare::READ {
            match rows.column(name) {
                Some(column) if column.ty.join(&ty).is_none() => {
                    let message = format!(
                        "the column `{name}` of the rows is {}, and {ty} is needed",
                        column.ty
                    );
                    check.problem(&[], wrong_value(message, None));
                }
                None if !rows.is_open() => check.problem(&[], unknown_column(name, &rows)),
                _ => {}
            }
        }
        if let Some(name) = compare::ADDED
            .iter()
            .find(|name| rows.column(name).is_some())
        {
            let message = format!("the rows have a column `{name}`, which this stage adds");
            check.problem(
                &[],
                wrong_value(message, Some("give the column another name")),
            );
        }
        check.output(CHECKS, PortType::Table, output_columns(&rows), false);
        check.output(LIST, PortType::File, Schema::default(), false);
    }

    fn needs(&self, _params: &Params, input_bytes: u64) -> Needs {
        needs_of_tables(input_bytes)
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let expected = task.artifact(EXPECTED)?;
        let [file] = expected.files() else {
            return Err(TaskError::input("the committed list must be one file"));
        };
        let list = List::read(&file.name, task.host.blob(file.blob)?.bytes())?;
        let comparison = compare(task, &list)?;
        let new = task.put_json(LIST_FILE, &List::new(comparison.found))?;
        Ok(Outputs::from([
            (CHECKS.to_owned(), task.put_rows(CHECKS, comparison.rows)?),
            (LIST.to_owned(), Artifact::new(vec![new], Vec::new())),
        ]))
    }
}
