//! The check: it walks through the operations in their order and keeps track of the columns.

use llmcl_stages_api::expr::Mode;
use llmcl_stages_api::kind::{Check, ProblemKind};
use llmcl_stages_api::param::Params;
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::suggest::closest;
use llmcl_stages_api::table::{Column, INTERVAL_NOTE, Schema};
use llmcl_stages_api::value::{Type, Value};

use crate::expressions::{each_set, is_name, unknown_column, wrong_value};

use super::bootstrap as field;
use super::{
    AGGREGATE, BOOTSTRAP, COMPUTE, FILTER, FROM, GROUP_BY, JOIN, JOIN_ON, JOIN_TABLE, TABLE,
};

/// Checks a stage, and says what columns its table has.
pub(super) fn check(check: &mut Check<'_>) {
    let mut whole: Option<Schema> = None;
    each_set(check, |check, params| {
        let mut walk = Walk::new(check, params);
        walk.all();
        let (schema, good) = (walk.schema, walk.good);
        // Tasks may differ in columns where a parameter comes from an axis.
        whole = match &whole {
            None => Some(schema),
            Some(earlier) => {
                Some(Schema::union([earlier, &schema]).unwrap_or_else(|_| Schema::default().open()))
            }
        };
        good
    });
    let volatile = check.has_volatile_input();
    let schema = whole.unwrap_or_else(|| Schema::default().open());
    check.output(TABLE, PortType::Table, schema, volatile);
}

/// A walk through the operations. After a mistake the schema is open, so that what follows from the mistake is not
/// reported as well.
struct Walk<'c, 'a> {
    check: &'c mut Check<'a>,
    params: &'a Params,
    /// The input whose rows the table is made of.
    base: String,
    /// The columns so far.
    schema: Schema,
    good: bool,
}

impl<'c, 'a> Walk<'c, 'a> {
    fn new(check: &'c mut Check<'a>, params: &'a Params) -> Self {
        Self {
            check,
            params,
            base: String::new(),
            schema: Schema::default().open(),
            good: true,
        }
    }

    fn all(&mut self) {
        self.base();
        self.joins();
        self.compute();
        self.filter();
        self.groups();
    }

    fn problem(&mut self, path: &[&str], kind: ProblemKind) {
        self.good = false;
        self.check.problem(path, kind);
    }

    fn wrong(&mut self, path: &[&str], message: String, help: &str) {
        self.problem(path, wrong_value(message, Some(help)));
    }

    fn base(&mut self) {
        let inputs = self.check.inputs;
        let base = match (self.params.get(FROM).as_text(), inputs.len()) {
            (Some(from), _) if inputs.contains_key(from) => from,
            (Some(from), _) => {
                let problem = unknown_input(from, inputs.keys());
                return self.problem(&[FROM], problem);
            }
            (None, 1) => inputs.keys().next().map_or("", String::as_str),
            (None, 0) => return,
            (None, _) => {
                let message = format!(
                    "there are several inputs ({}), and `{FROM}` does not say whose rows the table is made of",
                    inputs.keys().cloned().collect::<Vec<_>>().join(", ")
                );
                return self.wrong(
                    &[],
                    message,
                    "add `from`, and a `join` for each other input",
                );
            }
        };
        base.clone_into(&mut self.base);
        self.schema = inputs
            .get(base)
            .map_or_else(|| Schema::default().open(), |input| input.schema.clone());
    }

    fn joins(&mut self) {
        let inputs = self.check.inputs;
        let mut joined = vec![self.base.clone()];
        let joins = self.params.get(JOIN).as_list().unwrap_or_default();
        for (index, join) in joins.iter().enumerate() {
            let place = index.to_string();
            let path = [JOIN, &place, JOIN_TABLE];
            let name = join.field(JOIN_TABLE).as_text().unwrap_or_default();
            let Some(input) = inputs.get(name) else {
                self.problem(&path, unknown_input(name, inputs.keys()));
                self.open();
                continue;
            };
            if joined.iter().any(|earlier| earlier == name) {
                let message = format!("the input `{name}` is there already");
                self.wrong(&path, message, "each input is joined once");
                continue;
            }
            joined.push(name.to_owned());
            self.join(&place, &input.schema, join.field(JOIN_ON));
        }
        let unused = inputs.keys().find(|port| !joined.contains(*port));
        if let Some(port) = unused.filter(|_| !self.base.is_empty()) {
            let message = format!("the input `{port}` is not used");
            let help = format!("add it to `join`: {{ table = \"{port}\", on = [\"…\"] }}");
            self.wrong(&[JOIN], message, &help);
        }
    }

    fn join(&mut self, place: &str, right: &Schema, on: &Value) {
        let on: Vec<String> = names(on);
        if on.is_empty() {
            let message = "a join needs columns whose cells must be equal".to_owned();
            self.wrong(
                &[JOIN, place, JOIN_ON],
                message,
                "such as `on = [\"model\"]`",
            );
        }
        for (index, name) in on.iter().enumerate() {
            let lacks = |side: &&Schema| side.column(name).is_none() && !side.is_open();
            let side = [&self.schema, right].into_iter().find(lacks);
            if let Some(problem) = side.map(|side| unknown_column(name, side)) {
                self.problem(&[JOIN, place, JOIN_ON, &index.to_string()], problem);
            }
        }
        match Schema::union([&self.schema, right]) {
            Ok(schema) => self.schema = schema,
            Err(error) => {
                let help = "rename or leave out the column in one of the tables";
                self.wrong(&[JOIN, place], error.to_string(), help);
                self.open();
            }
        }
    }

    fn compute(&mut self) {
        let before = self.schema.clone();
        for (name, text) in entries(self.params.get(COMPUTE)) {
            let path = [COMPUTE, name];
            let ty = self.expression(&path, text, Mode::Row, &before, None);
            self.add(&path, name, ty, text.as_text().unwrap_or_default());
        }
    }

    fn filter(&mut self) {
        let text = self.params.get(FILTER);
        if !text.is_none() {
            let schema = self.schema.clone();
            self.expression(&[FILTER], text, Mode::Row, &schema, Some(&Type::Bool));
        }
    }

    fn groups(&mut self) {
        let group_by = names(self.params.get(GROUP_BY));
        let statistics: Vec<_> = entries(self.params.get(AGGREGATE)).collect();
        self.bootstrap(&group_by, statistics.is_empty());
        if group_by.is_empty() && statistics.is_empty() {
            return;
        }
        let before = std::mem::take(&mut self.schema);
        for (index, name) in group_by.iter().enumerate() {
            let place = index.to_string();
            let path = [GROUP_BY, &place];
            let column = match before.column(name) {
                Some(column) => column.clone(),
                None => {
                    if !before.is_open() {
                        self.problem(&path, unknown_column(name, &before));
                    }
                    Column::new(name, Type::Any, "")
                }
            };
            if self.schema.push(column).is_err() {
                let message = format!("the column `{name}` is named twice");
                self.wrong(&path, message, "name it once");
            }
        }
        let bootstrapped = !self.params.get(BOOTSTRAP).is_none();
        for (name, text) in statistics {
            let path = [AGGREGATE, name];
            let ty = self.expression(&path, text, Mode::Aggregate, &before, None);
            self.add(&path, name, ty, text.as_text().unwrap_or_default());
            if bootstrapped {
                for end in ["low", "high"] {
                    let about = format!("{end} end of the interval of `{name}`");
                    self.add(&path, &format!("{name}_{end}"), Type::Float, &about);
                }
            }
        }
        if bootstrapped {
            let about = "why there is no interval";
            self.add(&[BOOTSTRAP], INTERVAL_NOTE, Type::Text, about);
        }
    }

    fn bootstrap(&mut self, group_by: &[String], no_statistics: bool) {
        let bootstrap = self.params.get(BOOTSTRAP);
        if bootstrap.is_none() {
            return;
        }
        if no_statistics {
            let message = "a bootstrap is over statistics, and there are none".to_owned();
            self.wrong(&[BOOTSTRAP], message, "add `aggregate`");
        }
        let path = [BOOTSTRAP, field::CLUSTER];
        let cluster = bootstrap
            .field(field::CLUSTER)
            .as_text()
            .unwrap_or_default();
        if self.schema.column(cluster).is_none() && !self.schema.is_open() {
            let problem = unknown_column(cluster, &self.schema);
            self.problem(&path, problem);
        } else if group_by.iter().any(|name| name == cluster) {
            let message =
                format!("each group has one `{cluster}`, so there is nothing to draw from");
            self.wrong(
                &path,
                message,
                "cluster by a column that is not in `group_by`",
            );
        }
        let level = bootstrap.field(field::LEVEL).as_number();
        if level.is_some_and(|level| level <= 0.0 || level >= 1.0) {
            let message = "a level is between 0 and 1".to_owned();
            self.wrong(&[BOOTSTRAP, field::LEVEL], message, "such as 0.95");
        }
    }

    /// Checks an expression over the table and returns the type of the column that holds its value.
    fn expression(
        &mut self,
        path: &[&str],
        text: &Value,
        mode: Mode,
        schema: &Schema,
        expected: Option<&Type>,
    ) -> Type {
        let tables = [(self.base.clone(), schema)];
        let axes = self.check.axes;
        let checked = self
            .check
            .expression(path, text, mode, &tables, axes, expected);
        self.good &= checked.is_some();
        match checked.map(|checked| checked.ty) {
            // The fields of an axis value are found by the name of its column, which this one does not have.
            Some(Type::Axis(_)) => Type::Text,
            Some(ty) => ty,
            None => Type::Any,
        }
    }

    /// Adds a column of a new name.
    fn add(&mut self, path: &[&str], name: &str, ty: Type, about: &str) {
        if !is_name(name) {
            let message = format!("no expression can name a column `{name}`");
            self.wrong(path, message, "a name is made of letters, digits and `_`");
        } else if self.check.axes.contains_key(name) {
            let message = format!("`{name}` is an axis of this stage, whose column has its name");
            self.wrong(path, message, "give the column another name");
        } else if self.schema.push(Column::new(name, ty, about)).is_err() {
            let message = format!("there is a column `{name}` already");
            self.wrong(path, message, "give the new column another name");
        }
    }

    fn open(&mut self) {
        self.schema = std::mem::take(&mut self.schema).open();
    }
}

fn unknown_input<'n>(name: &str, inputs: impl Iterator<Item = &'n String> + Clone) -> ProblemKind {
    let help = match closest(name, inputs.clone().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "the inputs are {}",
            inputs.cloned().collect::<Vec<_>>().join(", ")
        ),
    };
    wrong_value(format!("there is no input `{name}`"), Some(&help))
}

fn names(value: &Value) -> Vec<String> {
    let list = value.as_list().unwrap_or_default();
    let texts = list.iter().filter_map(Value::as_text);
    texts.map(str::to_owned).collect()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_record().into_iter().flatten()
}
