//! Stage kinds: what one is, and how it checks a stage before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::expr::{self, Checked, ExprError, Mode, Scope};
use crate::machine::{Fact, FactSort};
use crate::param::{Param, Params};
use crate::port::{InputPorts, OutputPort, PortType};
use crate::table::Schema;
use crate::task::{Needs, Outputs, TaskContext, TaskError};
use crate::value::{Type, Value};

/// A stage kind. It is stateless; a stage is described by its parameters and inputs alone.
pub trait StageKind: Sync {
    /// Its name in the TOML file.
    fn name(&self) -> &'static str;

    /// One sentence for the schema and the docs.
    fn about(&self) -> &'static str;

    /// The source files and folders that are this kind's alone, relative to the workspace; see
    /// [`crate::fingerprint`]. The first is its own leaf, the others are leaves that it uses.
    fn leaves(&self) -> &'static [&'static str];

    /// Its parameters.
    fn params(&self) -> &'static [Param];

    /// Its input ports.
    fn inputs(&self) -> InputPorts;

    /// Its output ports. A kind whose ports hang on parameters adds them in [`StageKind::check`].
    fn outputs(&self) -> &'static [OutputPort];

    /// Whether a stage of this kind may say `pruned = "report"`.
    fn reports_pruned(&self) -> bool {
        false
    }

    /// Whether a stage of this kind may read volatile inputs. What it puts out is volatile then.
    fn reads_volatile(&self) -> bool {
        false
    }

    /// Whether a stage of this kind is given the experiment's claims: as the parameter `claims`, a list of
    /// records, and the tables that they name, at the ports `claims.0`, `claims.1`, …
    fn owns_claims(&self) -> bool {
        false
    }

    /// Checks the expressions and names in the parameters, and says what columns the outputs have.
    fn check(&self, check: &mut Check<'_>);

    /// Tells why a task with these parameters could not start: something that the file leaves open on purpose.
    ///
    /// # Errors
    /// What is missing, and what to do.
    fn ready(&self, _params: &Params) -> Result<(), TaskError> {
        Ok(())
    }

    /// What else determines the outputs: programs, the machine. It goes into the key, and nothing else of the machine
    /// may have an influence.
    fn facts(&self, _params: &Params) -> Vec<Fact> {
        Vec::new()
    }

    /// The sorts that [`StageKind::facts`] can be of.
    fn fact_sorts(&self) -> Vec<&'static FactSort> {
        Vec::new()
    }

    /// The families of models that what a task puts out has learnt from, beyond those of its inputs. No model of
    /// these may be tested with it.
    fn learnt_from(&self, _params: &Params) -> Vec<String> {
        Vec::new()
    }

    /// What a task needs of the machine. `input_bytes` counts all blobs of the inputs.
    fn needs(&self, params: &Params, input_bytes: u64) -> Needs;

    /// Does the work.
    ///
    /// # Errors
    /// Whatever stopped it. What it has stored by then is dropped.
    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError>;
}

/// A stage that is being checked.
pub struct Check<'a> {
    /// The stage's own axes.
    pub axes: &'a BTreeMap<String, Type>,
    /// The parameters of each task of the stage. Values that are equal over all tasks come from literals.
    pub tasks: &'a [Arc<Params>],
    /// The inputs that the stage has, by port.
    pub inputs: &'a BTreeMap<String, InputSchema>,
    outputs: Vec<OutputSchema>,
    problems: Vec<Problem>,
    axis_reads: BTreeSet<(String, String)>,
}

/// What comes in at a port, as far as it is known before the run.
#[derive(Debug, Clone)]
pub struct InputSchema {
    /// The type of what comes in.
    pub ty: PortType,
    /// The columns, axis columns included, if it is a table.
    pub schema: Schema,
    /// Whether it is volatile.
    pub volatile: bool,
}

/// What goes out at a port, as far as it is known before the run.
#[derive(Debug, Clone)]
pub struct OutputSchema {
    /// The port.
    pub name: String,
    /// The type of what goes out.
    pub ty: PortType,
    /// The columns, if it is a table.
    pub schema: Schema,
    /// Whether it is volatile.
    pub volatile: bool,
}

/// A mistake in a parameter.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Which parameter, and which part of it: `["statistics", "drop"]`.
    pub path: Vec<String>,
    /// Which bytes of the text there; none for the whole value.
    pub span: Option<Range<usize>>,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What is wrong in a parameter.
#[derive(Debug, Clone)]
pub enum ProblemKind {
    /// An expression is wrong.
    Expression(ExprError),
    /// A column is named that is not there.
    UnknownColumn {
        /// The name as written.
        name: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// A value is not one that the kind takes.
    Value {
        /// What is wrong with it.
        message: String,
        /// What to do.
        help: Option<String>,
    },
}

/// What a finished check leaves.
#[derive(Debug)]
pub struct CheckResult {
    /// The outputs that were declared.
    pub outputs: Vec<OutputSchema>,
    /// The mistakes that were found.
    pub problems: Vec<Problem>,
    /// The fields of axes that are read at run time: they go into the key.
    pub axis_reads: BTreeSet<(String, String)>,
}

impl<'a> Check<'a> {
    /// Starts a check.
    #[must_use]
    pub fn new(
        axes: &'a BTreeMap<String, Type>,
        tasks: &'a [Arc<Params>],
        inputs: &'a BTreeMap<String, InputSchema>,
    ) -> Self {
        Self {
            axes,
            tasks,
            inputs,
            outputs: Vec::new(),
            problems: Vec::new(),
            axis_reads: BTreeSet::new(),
        }
    }

    /// Ends it.
    #[must_use]
    pub fn finish(self) -> CheckResult {
        CheckResult {
            outputs: self.outputs,
            problems: self.problems,
            axis_reads: self.axis_reads,
        }
    }

    /// The distinct values that a parameter has over the tasks, in order of first appearance.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&'a Value> {
        let mut values: Vec<&Value> = Vec::new();
        for params in self.tasks {
            let value = params.get(name);
            // Tasks share what they do not differ in.
            let same = values.last().is_some_and(|last| std::ptr::eq(*last, value));
            if !same && !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    /// The columns of a table port; none where nothing comes in.
    #[must_use]
    pub fn schema(&self, port: &str) -> Option<&'a Schema> {
        self.inputs.get(port).map(|input| &input.schema)
    }

    /// Whether any input is volatile.
    #[must_use]
    pub fn has_volatile_input(&self) -> bool {
        self.inputs.values().any(|input| input.volatile)
    }

    /// Declares an output.
    pub fn output(&mut self, name: &str, ty: PortType, schema: Schema, volatile: bool) {
        self.outputs.push(OutputSchema {
            name: name.to_owned(),
            ty,
            schema,
            volatile,
        });
    }

    /// Declares that a field of the values of an axis is read at run time, for the task and its key.
    pub fn reads(&mut self, axis: &str, field: &str) {
        self.axis_reads.insert((axis.to_owned(), field.to_owned()));
    }

    /// Reports a mistake.
    pub fn problem(&mut self, path: &[&str], kind: ProblemKind) {
        self.problems.push(Problem {
            path: path.iter().map(|&part| part.to_owned()).collect(),
            span: None,
            kind,
        });
    }

    /// Parses and checks an expression against `tables`, and reports its mistakes at `path`.
    ///
    /// Returns what is known of it, or nothing if it is wrong or not there.
    pub fn expression(
        &mut self,
        path: &[&str],
        text: &Value,
        mode: Mode,
        tables: &[(String, &Schema)],
        variables: &BTreeMap<String, Type>,
        expected: Option<&Type>,
    ) -> Option<Checked> {
        let scope = Scope {
            variables: variables.clone(),
            tables: tables.to_vec(),
            mode,
        };
        let result = expr::parse(text.as_text()?).and_then(|expr| {
            let checked = expr::check(&expr, &scope)?;
            match expected {
                Some(expected) => expr::expect(&expr, checked, expected).map_err(|e| vec![e]),
                None => Ok(checked),
            }
        });
        match result {
            Ok(checked) => {
                self.axis_reads.extend(checked.axis_reads.iter().cloned());
                Some(checked)
            }
            Err(errors) => {
                self.problems
                    .extend(errors.into_iter().map(|error| Problem {
                        path: path.iter().map(|&part| part.to_owned()).collect(),
                        span: Some(error.span.clone()),
                        kind: ProblemKind::Expression(error),
                    }));
                None
            }
        }
    }
}
