//! `table`: computes a table from tables.
//!
//! What is asked for is done in one order, whatever the order in the file: join, compute, filter, group_by,
//! aggregate, bootstrap.

mod check;
mod run;

use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::task::{Needs, Outputs, TaskContext, TaskError};

use crate::expressions::needs_of_tables;

/// The parameter that names the input whose rows the table is made of.
const FROM: &str = "from";
/// The parameter that lists the inputs whose columns are added.
const JOIN: &str = "join";
/// The field of a join that names its input.
const JOIN_TABLE: &str = "table";
/// The field of a join that lists the columns whose cells must be equal.
const JOIN_ON: &str = "on";
/// The parameter that adds columns.
const COMPUTE: &str = "compute";
/// The parameter that keeps rows.
const FILTER: &str = "filter";
/// The parameter that puts rows into groups.
const GROUP_BY: &str = "group_by";
/// The parameter that computes statistics over groups.
const AGGREGATE: &str = "aggregate";
/// The parameter that asks for intervals of the statistics.
const BOOTSTRAP: &str = "bootstrap";
/// The port that the table goes out at, and the name of its file.
const TABLE: &str = "table";

/// The fields of a bootstrap.
mod bootstrap {
    pub(super) const CLUSTER: &str = "cluster";
    pub(super) const RESAMPLES: &str = "resamples";
    pub(super) const SEED: &str = "seed";
    pub(super) const LEVEL: &str = "level";
    pub(super) const MIN_CLUSTERS: &str = "min_clusters";
}

const JOIN_FIELDS: &[Param] = &[
    Param::required(JOIN_TABLE, ParamType::Text, "The input to join."),
    Param::required(
        JOIN_ON,
        ParamType::List(&ParamType::Text),
        "The columns whose cells must be equal; they must tell the rows of that input apart.",
    ),
];

const BOOTSTRAP_FIELDS: &[Param] = &[
    Param::required(
        bootstrap::CLUSTER,
        ParamType::Text,
        "The column whose values are drawn, with all rows of each: usually the model.",
    ),
    Param::required(
        bootstrap::RESAMPLES,
        ParamType::Int {
            min: 1,
            max: 1_000_000,
        },
        "How often to draw.",
    ),
    Param::required(
        bootstrap::SEED,
        ParamType::Int {
            min: 0,
            max: i64::MAX,
        },
        "The seed of the random numbers.",
    ),
    Param::required(
        bootstrap::LEVEL,
        ParamType::Float,
        "The share of the resamples inside of the interval, such as 0.95.",
    ),
    Param::required(
        bootstrap::MIN_CLUSTERS,
        ParamType::Int {
            min: 2,
            max: 1_000_000,
        },
        "A group with fewer clusters gets no interval.",
    ),
];

const PARAMS: &[Param] = &[
    Param::optional("title", ParamType::Text, "What reports call the table."),
    Param::optional(
        FROM,
        ParamType::Text,
        "The input whose rows the table is made of; needed where there are several.",
    ),
    Param::optional(
        JOIN,
        ParamType::List(&ParamType::Record(JOIN_FIELDS)),
        "Inputs whose columns are added to each row, one after the other.",
    ),
    Param::optional(
        COMPUTE,
        ParamType::Map(&ParamType::Expression),
        "New columns, each computed from the row's columns.",
    ),
    Param::optional(
        FILTER,
        ParamType::Expression,
        "Which rows are kept; it may use computed columns.",
    ),
    Param::optional(
        GROUP_BY,
        ParamType::List(&ParamType::Text),
        "The columns by whose values rows are put together: one row for each group.",
    ),
    Param::optional(
        AGGREGATE,
        ParamType::Map(&ParamType::Expression),
        "New columns, each a statistic over the rows of a group; without `group_by`, over all rows.",
    ),
    Param::optional(
        BOOTSTRAP,
        ParamType::Record(BOOTSTRAP_FIELDS),
        "Adds `<name>_low` and `<name>_high` to each statistic: a percentile interval.",
    ),
];

/// The stage kind.
pub static KIND: TableKind = TableKind;

/// The stage kind `table`.
#[derive(Debug, Clone, Copy)]
pub struct TableKind;

impl StageKind for TableKind {
    fn name(&self) -> &'static str {
        "table"
    }

    fn about(&self) -> &'static str {
        "Computes a table from tables: join, compute, filter, group_by, aggregate, bootstrap, in this order."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/table"]
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[],
            open: Some(InputPort {
                name: "rows",
                ty: PortType::Table,
                arity: Arity::Many,
                required: true,
                about: "A table, under a name of your choice.",
            }),
            one_of: &[],
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        &[OutputPort {
            name: TABLE,
            ty: PortType::Table,
            volatile: false,
            about: "The table; it is volatile if an input is.",
        }]
    }

    fn reports_pruned(&self) -> bool {
        true
    }

    fn reads_volatile(&self) -> bool {
        true
    }

    fn check(&self, check: &mut Check<'_>) {
        check::check(check);
    }

    fn needs(&self, _params: &Params, input_bytes: u64) -> Needs {
        needs_of_tables(input_bytes)
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let artifact = task.put_table(TABLE, &run::compute_table(task)?)?;
        Ok(Outputs::from([(TABLE.to_owned(), artifact)]))
    }
}
