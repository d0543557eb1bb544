//! The operations, in their order.

use llmcl_stages_api::param::Params;
use llmcl_stages_api::table::{Aggregates, Bootstrap, Context, Table};
use llmcl_stages_api::table::{aggregate, compute, filter, join};
use llmcl_stages_api::task::{TaskContext, TaskError};
use llmcl_stages_api::value::Value;

use crate::expressions::{hinted, parse, parse_named, pruned_hint, table_error};

use super::bootstrap as field;
use super::{AGGREGATE, BOOTSTRAP, COMPUTE, FILTER, FROM, GROUP_BY, JOIN, JOIN_ON, JOIN_TABLE};

/// Computes the table of a task.
pub(super) fn compute_table(task: &TaskContext<'_>) -> Result<Table, TaskError> {
    let params = task.params;
    let failed = |error| hinted(table_error(&error), pruned_hint(task));
    let base = base(task);
    let context = Context {
        name: base,
        axes: task.axis_fields,
    };
    let mut table = task.table(base)?;
    for entry in params.get(JOIN).as_list().unwrap_or_default() {
        task.host.checkpoint()?;
        let other = entry.field(JOIN_TABLE).as_text().unwrap_or_default();
        table = join(&table, &task.table(other)?, &texts(entry.field(JOIN_ON)))
            .map_err(|error| TaskError::input(format!("joining `{other}`: {error}")))?;
    }
    let columns = parse_named(params, COMPUTE)?;
    if !columns.is_empty() {
        task.host.checkpoint()?;
        table = compute(&table, &columns, &context).map_err(failed)?;
    }
    if let Some(text) = params.get(FILTER).as_text() {
        task.host.checkpoint()?;
        table = filter(&table, &parse(FILTER, text)?, &context).map_err(failed)?;
    }
    let group_by = texts(params.get(GROUP_BY));
    let statistics = parse_named(params, AGGREGATE)?;
    if !group_by.is_empty() || !statistics.is_empty() {
        task.host.checkpoint()?;
        let bootstrap = bootstrap(params)?;
        let aggregates = Aggregates {
            group_by: &group_by,
            statistics: &statistics,
            bootstrap: bootstrap.as_ref(),
        };
        table = aggregate(&table, &aggregates, &context).map_err(failed)?;
    }
    Ok(table)
}

/// The input whose rows the table is made of.
fn base<'a>(task: &TaskContext<'a>) -> &'a str {
    let only = || task.inputs.keys().next().map(String::as_str);
    let named = task.params.get(FROM).as_text();
    named.or_else(only).unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_list().unwrap_or_default();
    let texts = list.iter().filter_map(Value::as_text);
    texts.map(str::to_owned).collect()
}

fn bootstrap(params: &Params) -> Result<Option<Bootstrap>, TaskError> {
    let given = params.get(BOOTSTRAP);
    if given.is_none() {
        return Ok(None);
    }
    let wrong = |name| TaskError::input(format!("`{BOOTSTRAP}.{name}` is missing or out of range"));
    let whole = |name| given.field(name).as_int().ok_or_else(|| wrong(name));
    Ok(Some(Bootstrap {
        cluster: given
            .field(field::CLUSTER)
            .as_text()
            .ok_or_else(|| wrong(field::CLUSTER))?
            .to_owned(),
        resamples: u32::try_from(whole(field::RESAMPLES)?).map_err(|_| wrong(field::RESAMPLES))?,
        seed: u64::try_from(whole(field::SEED)?).map_err(|_| wrong(field::SEED))?,
        level: given
            .field(field::LEVEL)
            .as_number()
            .ok_or_else(|| wrong(field::LEVEL))?,
        min_clusters: usize::try_from(whole(field::MIN_CLUSTERS)?)
            .map_err(|_| wrong(field::MIN_CLUSTERS))?,
    }))
}
