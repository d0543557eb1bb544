//! `gate`: turns statistics over tables into one of a few outcomes.

use std::collections::BTreeMap;

use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::expr::{self, Env, Mode};
use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::outcome::{self, Outcome, Possible};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::{Schema, Table};
use llmcl_stages_api::task::{Needs, Outputs, TaskContext, TaskError};
use llmcl_stages_api::value::{Type, Value};

use crate::expressions::{
    each_set, hinted, is_name, needs_of_tables, parse, parse_named, pruned_hint, wrong_value,
};

/// The parameter that names the gate in reports.
const TITLE: &str = "title";
/// The parameter that names the statistics.
const STATISTICS: &str = "statistics";
/// The parameter that lists the outcomes.
const OUTCOMES: &str = "outcomes";
/// The field of an outcome that holds its name.
const NAME: &str = "name";
/// The field of an outcome that holds its condition.
const IF: &str = "if";
/// The field of an outcome that holds a remark.
const NOTE: &str = "note";
/// The port that the outcome goes out at.
const OUTCOME: &str = "outcome";

/// The fields of an outcome.
const OUTCOME_FIELDS: &[Param] = &[
    Param::required(
        NAME,
        ParamType::Text,
        "The name, in capitals: GREEN, NULL, GAP_MIXED.",
    ),
    Param::optional(
        IF,
        ParamType::Expression,
        "The condition over the statistics; the last outcome has none.",
    ),
    Param::optional(NOTE, ParamType::Text, "What a report says beside."),
];

const PARAMS: &[Param] = &[
    Param::optional(TITLE, ParamType::Text, "What reports call the gate."),
    Param::required(
        STATISTICS,
        ParamType::Map(&ParamType::Expression),
        "Named numbers over the rows of the tables.",
    ),
    Param::required(
        OUTCOMES,
        ParamType::List(&ParamType::Record(OUTCOME_FIELDS)),
        "What can come out, in order; the first whose condition holds is the outcome.",
    ),
];

/// The stage kind.
pub static KIND: Gate = Gate;

/// The stage kind `gate`.
#[derive(Debug, Clone, Copy)]
pub struct Gate;

impl StageKind for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn about(&self) -> &'static str {
        "Turns statistics over tables into the first of a list of outcomes whose condition holds."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/gate.rs"]
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
                about: "A table that the statistics are over, under a name of your choice.",
            }),
            one_of: &[],
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        &[OutputPort {
            name: OUTCOME,
            ty: PortType::Outcome,
            volatile: false,
            about: "The outcome with its statistics and the conditions.",
        }]
    }

    fn reports_pruned(&self) -> bool {
        true
    }

    fn check(&self, check: &mut Check<'_>) {
        check.output(OUTCOME, PortType::Outcome, Schema::default(), false);
        each_set(check, |check, params| {
            let statistics = check_statistics(check, params);
            let outcomes = check_outcomes(check, params, &statistics.known);
            statistics.good && outcomes
        });
    }

    fn needs(&self, _params: &Params, input_bytes: u64) -> Needs {
        needs_of_tables(input_bytes)
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let statistics = statistics(task)?;
        let outcome = choose(task.params, statistics)?;
        let file = task.put_json(outcome::FILE, &outcome)?;
        let artifact = Artifact::new(vec![file], Vec::new());
        Ok(Outputs::from([(OUTCOME.to_owned(), artifact)]))
    }
}

/// What conditions may use.
struct CheckedStatistics {
    /// The statistics; of one that is wrong nothing is known.
    known: BTreeMap<String, Type>,
    good: bool,
}

fn check_statistics(check: &mut Check<'_>, params: &Params) -> CheckedStatistics {
    let mut result = CheckedStatistics {
        known: BTreeMap::new(),
        good: true,
    };
    let statistics = params.get(STATISTICS).as_record().into_iter().flatten();
    let inputs = check.inputs;
    let tables: Vec<(String, &Schema)> = inputs
        .iter()
        .map(|(port, input)| (port.clone(), &input.schema))
        .collect();
    let axes = check.axes;
    for (name, text) in statistics {
        let path = [STATISTICS, name];
        let misnamed = if axes.contains_key(name) {
            Some(wrong_value(
                format!(
                    "`{name}` is an axis of this stage, so conditions could not name the statistic"
                ),
                Some("give the statistic another name"),
            ))
        } else if is_name(name) {
            None
        } else {
            Some(wrong_value(
                format!("no expression can name a statistic `{name}`"),
                Some("a name is made of letters, digits and `_`"),
            ))
        };
        result.good &= misnamed.is_none();
        if let Some(problem) = misnamed {
            check.problem(&path, problem);
        }
        let number = Some(&Type::Float);
        let checked = check.expression(&path, text, Mode::Aggregate, &tables, axes, number);
        result.good &= checked.is_some();
        let ty = checked.map_or(Type::Any, |checked| checked.ty);
        // In conditions such a name means the axis.
        if !axes.contains_key(name) {
            result.known.insert(name.clone(), ty);
        }
    }
    if result.known.is_empty() && result.good {
        result.good = false;
        let problem = wrong_value(
            "there is no statistic, so nothing could decide between the outcomes",
            Some("add one, such as `n = \"count()\"`"),
        );
        check.problem(&[STATISTICS], problem);
    }
    result
}

fn check_outcomes(
    check: &mut Check<'_>,
    params: &Params,
    statistics: &BTreeMap<String, Type>,
) -> bool {
    let outcomes = params.get(OUTCOMES).as_list().unwrap_or_default();
    let mut good = true;
    let mut problem = |check: &mut Check<'_>, path: &[&str], message: String, help: &str| {
        good = false;
        check.problem(path, wrong_value(message, Some(help)));
    };
    if outcomes.is_empty() {
        let help = "list them in order, the last one without `if`";
        problem(check, &[OUTCOMES], "there is no outcome".to_owned(), help);
    }
    let mut variables = check.axes.clone();
    variables.extend(statistics.clone());
    let mut wrong = false;
    for (index, outcome) in outcomes.iter().enumerate() {
        let place = index.to_string();
        let name = outcome.field(NAME).as_text().unwrap_or_default();
        if !is_outcome_name(name) {
            let message = format!("`{name}` cannot be the name of an outcome");
            let help = "an outcome is written in capitals, digits and `_`: GREEN, OUTCOME_1";
            problem(check, &[OUTCOMES, &place, NAME], message, help);
        }
        let path = [OUTCOMES, &place, IF];
        let last = index + 1 == outcomes.len();
        match (outcome.field(IF), last) {
            (Value::None, true) => {}
            (Value::None, false) => {
                let message = format!("{name} has no condition, so no later outcome could be");
                let help =
                    "add `if`, or move it to the end: only the last outcome has no condition";
                problem(check, &[OUTCOMES, &place], message, help);
            }
            (condition, _) => {
                let bool = Some(&Type::Bool);
                let checked =
                    check.expression(&path, condition, Mode::Scalar, &[], &variables, bool);
                let reads = |checked: &expr::Checked| {
                    let mut names = checked.variable_reads.keys();
                    names.any(|name| statistics.contains_key(name))
                };
                wrong |= checked.is_none();
                if checked.is_some_and(|checked| !reads(&checked)) {
                    let message = format!(
                        "the condition of {name} names no statistic, so the tables do not matter to it"
                    );
                    problem(check, &path, message, "name one of `statistics`");
                }
                if last {
                    let message = format!(
                        "the last outcome, {name}, has a condition: if none of the conditions held, there would be \
                         no outcome and the task would fail"
                    );
                    let help = "remove this `if`, or add an outcome without one after it";
                    problem(check, &path, message, help);
                }
            }
        }
    }
    good && !wrong
}

/// Tells whether this is a capital letter, then capitals, digits and `_`.
fn is_outcome_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Computes the statistics over the tables that are there.
fn statistics(task: &TaskContext<'_>) -> Result<BTreeMap<String, Value>, TaskError> {
    let inputs: Vec<(String, Table)> = task
        .inputs
        .keys()
        .map(|port| Ok((port.clone(), task.table(port)?)))
        .collect::<Result<_, TaskError>>()?;
    let tables: Vec<(String, &Table)> = inputs
        .iter()
        .map(|(port, table)| (port.clone(), table))
        .collect();
    let env = Env::tables(&tables, task.axis_fields);
    let mut statistics = BTreeMap::new();
    for (name, expr) in parse_named(task.params, STATISTICS)? {
        task.host.checkpoint()?;
        let failed = |why: String| {
            let error = TaskError::input(format!("the statistic `{name}` ({expr}): {why}"));
            hinted(error, pruned_hint(task))
        };
        let value = expr::eval(&expr, &env).map_err(|error| failed(error.to_string()))?;
        if value.as_number().is_none() {
            return Err(failed(format!("a number is needed, and it is {value}")));
        }
        statistics.insert(name, value);
    }
    Ok(statistics)
}

/// Finds the first outcome whose condition holds.
fn choose(params: &Params, statistics: BTreeMap<String, Value>) -> Result<Outcome, TaskError> {
    let env = Env::variables(&statistics);
    let mut found = None;
    let mut outcomes = Vec::new();
    for outcome in params.get(OUTCOMES).as_list().unwrap_or_default() {
        let text = |field| outcome.field(field).as_text().map(str::to_owned);
        let name = text(NAME).unwrap_or_default();
        let about = format!("the condition of {name}");
        let condition = text(IF).map(|text| parse(&about, &text)).transpose()?;
        let note = text(NOTE);
        if found.is_none() {
            let holds = match &condition {
                Some(condition) => expr::eval(condition, &env)
                    .map(|value| expr::is_true(&value))
                    .map_err(|error| TaskError::input(format!("{about} ({condition}): {error}")))?,
                None => true,
            };
            found = holds.then(|| (name.clone(), note.clone()));
        }
        outcomes.push(Possible {
            name,
            condition: condition.map(|condition| condition.to_string()),
            note,
        });
    }
    let (outcome, note) =
        found.ok_or_else(|| TaskError::input("the condition of no outcome holds"))?;
    Ok(Outcome {
        version: 1,
        title: params.text(TITLE).to_owned(),
        outcome,
        note,
        statistics: statistics
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_number()?)))
            .collect(),
        outcomes,
    })
}
