//! Tables and outcomes as inputs of a task, and tables as its outputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::expr::AxisFields;
use llmcl_stages_api::kind::{Check, CheckResult, InputSchema, StageKind};
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::table::{Column, Schema, Table, TableBuilder};
use llmcl_stages_api::task::{
    Host, Member, MemberState, Outputs, PruneReason, TaskContext, TaskError,
};
use llmcl_stages_api::value::{AxisType, Type, Value};
use serde_json::Value as Json;

use super::host::TestHost;
use super::params;

/// The inputs of a task, with a store that holds them.
pub(crate) struct Given {
    pub(crate) host: TestHost,
    inputs: BTreeMap<String, Vec<Member>>,
    axis_fields: AxisFields,
}

impl Given {
    pub(crate) fn nothing() -> Self {
        Self {
            host: TestHost::new(),
            inputs: BTreeMap::new(),
            axis_fields: AxisFields::new(),
        }
    }

    /// Adds a table of these rows, objects of named cells; columns come in the order of their names.
    pub(crate) fn table(
        self,
        port: &str,
        title: &str,
        labels: &[(&str, &str)],
        rows: &Json,
    ) -> Self {
        let mut builder = TableBuilder::new(&Schema::default().open());
        for row in rows.as_array().unwrap() {
            let cells = row.as_object().unwrap().iter();
            builder
                .push_named(cells.map(|(name, cell)| (name.clone(), Value::from_json(cell))))
                .unwrap();
        }
        let bytes = builder.finish().write(Vec::new()).unwrap();
        let artifact = self.host.store("rows.jsonl.zst", &bytes);
        self.member(port, title, labels, MemberState::Present(artifact))
    }

    /// Adds the outcome of a gate.
    pub(crate) fn outcome(self, title: &str, labels: &[(&str, &str)], outcome: &Json) -> Self {
        let bytes = serde_json::to_vec(outcome).unwrap();
        let artifact = self.host.store("outcome.json", &bytes);
        self.member("outcomes", title, labels, MemberState::Present(artifact))
    }

    /// Adds a file.
    pub(crate) fn file(self, port: &str, name: &str, content: &str) -> Self {
        let artifact = self.host.store(name, content.as_bytes());
        self.member(port, name, &[], MemberState::Present(artifact))
    }

    /// Adds what a gate ruled out.
    pub(crate) fn pruned(
        self,
        port: &str,
        title: &str,
        labels: &[(&str, &str)],
        (gate, outcome): (&str, &str),
    ) -> Self {
        let reason = PruneReason {
            gate: gate.to_owned(),
            outcome: outcome.to_owned(),
        };
        self.member(port, title, labels, MemberState::Pruned(reason))
    }

    fn member(
        mut self,
        port: &str,
        title: &str,
        labels: &[(&str, &str)],
        state: MemberState,
    ) -> Self {
        let labels = labels.iter();
        let member = Member {
            title: title.to_owned(),
            labels: labels
                .map(|(axis, label)| ((*axis).to_owned(), Value::Text((*label).to_owned())))
                .collect(),
            state,
        };
        self.inputs.entry(port.to_owned()).or_default().push(member);
        self
    }

    /// Gives a value of an axis a field.
    pub(crate) fn axis_field(mut self, axis: &str, label: &str, field: &str, value: &Json) -> Self {
        let labels = self.axis_fields.entry(axis.to_owned()).or_default();
        let fields = labels.entry(label.to_owned()).or_default();
        fields.insert(field.to_owned(), Value::from_json(value));
        self
    }

    /// Runs a task on them.
    pub(crate) fn run(&self, kind: &dyn StageKind, json: &Json) -> Result<Outputs, TaskError> {
        kind.run(&TaskContext {
            params: &params(json),
            inputs: &self.inputs,
            axis_fields: &self.axis_fields,
            host: &self.host,
        })
    }

    /// The table in an artifact.
    pub(crate) fn read_table(&self, artifact: &Artifact) -> Table {
        let [file] = artifact.files() else {
            panic!("one file, not {:?}", artifact.files());
        };
        Table::read(self.host.blob(file.blob).unwrap().bytes()).unwrap()
    }

    /// A file of an artifact as text.
    pub(crate) fn read_text(&self, artifact: &Artifact, name: &str) -> String {
        String::from_utf8(self.host.read(artifact, name)).unwrap()
    }

    /// A file of an artifact as JSON.
    pub(crate) fn read_json(&self, artifact: &Artifact, name: &str) -> Json {
        serde_json::from_slice(&self.host.read(artifact, name)).unwrap()
    }
}

/// A table line by line: the names of the columns, then the cells as the expression language writes them.
pub(crate) fn lines(table: &Table) -> Vec<String> {
    let names: Vec<&str> = names(table.schema());
    let rows = table.rows().map(|row| {
        let cells: Vec<String> = row.map(ToString::to_string).collect();
        cells.join(" ")
    });
    std::iter::once(names.join(" ")).chain(rows).collect()
}

/// The names of the columns.
pub(crate) fn names(schema: &Schema) -> Vec<&str> {
    let columns = schema.columns().iter();
    columns.map(|column| column.name.as_str()).collect()
}

/// A table port with these columns.
pub(crate) fn rows_of(columns: &[(&str, Type)]) -> InputSchema {
    let columns = columns.iter();
    InputSchema {
        ty: PortType::Table,
        schema: Schema::new(columns.map(|(name, ty)| Column::new(*name, ty.clone(), ""))),
        volatile: false,
    }
}

/// The type of an axis whose values have these fields.
pub(crate) fn axis(name: &str, fields: &[(&str, Type)]) -> Type {
    let fields = fields.iter();
    Type::Axis(
        AxisType {
            axis: name.to_owned(),
            fields: fields
                .map(|(field, ty)| ((*field).to_owned(), ty.clone()))
                .collect(),
        }
        .into(),
    )
}

/// Checks a stage that has axes and one task.
pub(crate) fn check_over(
    kind: &dyn StageKind,
    axes: &[(&str, Type)],
    inputs: &[(&str, InputSchema)],
    json: &Json,
) -> CheckResult {
    let axes = axes.iter();
    let axes = axes
        .map(|(name, ty)| ((*name).to_owned(), ty.clone()))
        .collect();
    let inputs = inputs.iter();
    let inputs = inputs
        .map(|(port, schema)| ((*port).to_owned(), schema.clone()))
        .collect();
    let tasks = [Arc::new(params(json))];
    let mut check = Check::new(&axes, &tasks, &inputs);
    kind.check(&mut check);
    check.finish()
}

/// The problems of a check: where, which bytes of the text there, what is wrong and what was probably meant.
pub(crate) fn told(result: &CheckResult) -> Vec<String> {
    use llmcl_stages_api::kind::ProblemKind;
    let problems = result.problems.iter();
    problems
        .map(|problem| {
            let span = problem.span.as_ref().map_or_else(String::new, |span| {
                format!("[{}..{}]", span.start, span.end)
            });
            let (message, help) = match &problem.kind {
                ProblemKind::Expression(error) => {
                    let meant = |help: &String| help.starts_with("did you mean");
                    (error.to_string(), error.help().filter(meant))
                }
                ProblemKind::UnknownColumn { name, suggestion } => {
                    (format!("no column `{name}`"), suggestion.clone())
                }
                ProblemKind::Value { message, help } => (message.clone(), help.clone()),
            };
            let help = help.map_or_else(String::new, |help| format!(" ({help})"));
            format!("{}{span}: {message}{help}", problem.path.join("."))
        })
        .collect()
}
