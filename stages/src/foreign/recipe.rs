//! What an experiment says of a method that is a command.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use llmcl_stages_api::machine::{Fact, FactSort};
use llmcl_stages_api::registry::MethodProblem;
use llmcl_stages_api::suggest::closest;
use llmcl_stages_api::value::Value;

use crate::{program, python};

/// What such a method is called: `use = "command"`.
pub const METHOD: &str = "command";

const COMPRESS: &str = "compress";
const DECOMPRESS: &str = "decompress";
const ENV: &str = "env";
const TIME_LIMIT: &str = "time_limit";
/// All that is a field of such a method; what else an axis value has is a label, or for other stages.
const FIELDS: [&str; 4] = [COMPRESS, DECOMPRESS, ENV, TIME_LIMIT];

/// How many seconds a program may take for one unit, if the experiment does not say.
const TIME_LIMIT_SECONDS: i64 = 3600;
/// The longest time limit, in seconds: a year.
const TIME_LIMIT_MAX: i64 = 31_536_000;

/// Memory that a program is taken to need whatever it works on: an interpreter with its packages.
const MEMORY: u64 = 256 << 20;
/// How often a program is taken to hold what it works on, in one form or another.
const COPIES: u64 = 4;

/// A method that is a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The program that encodes, and its arguments.
    pub compress: Vec<String>,
    /// The program that decodes, and its arguments.
    pub decompress: Vec<String>,
    /// Environment variables beside those that every program gets.
    pub env: BTreeMap<String, String>,
    /// How long it may take for one unit.
    pub time_limit: Duration,
}

impl Recipe {
    /// Takes the parameters out of the fields of a method, which may have more.
    ///
    /// # Errors
    /// If one is missing, wrong, or written in a way that is nearly one.
    pub fn parameters(
        fields: &BTreeMap<String, Value>,
    ) -> Result<BTreeMap<String, Value>, MethodProblem> {
        for name in fields.keys() {
            // Labels are free, but a field that is almost one of ours is more probably a slip.
            if let Some(meant) = closest(name, FIELDS)
                && !FIELDS.contains(&name.as_str())
                && !fields.contains_key(meant)
            {
                return Err(wrong(
                    name,
                    format!("no field of a command is called so; did you mean `{meant}`?"),
                ));
            }
        }
        let mut parameters = BTreeMap::new();
        for name in [COMPRESS, DECOMPRESS] {
            let value = fields.get(name).unwrap_or(&Value::None);
            check_command(name, value)?;
            parameters.insert(name.to_owned(), value.clone());
        }
        if let Some(env) = fields.get(ENV).filter(|env| !env.is_none()) {
            check_env(env)?;
            parameters.insert(ENV.to_owned(), env.clone());
        }
        let time_limit = match fields.get(TIME_LIMIT) {
            None | Some(Value::None) => TIME_LIMIT_SECONDS,
            Some(Value::Int(seconds)) if (1..=TIME_LIMIT_MAX).contains(seconds) => *seconds,
            Some(other) => {
                let what = format!(
                    "a whole number of seconds from 1 to {TIME_LIMIT_MAX} is needed, found {other}"
                );
                return Err(wrong(TIME_LIMIT, what));
            }
        };
        parameters.insert(TIME_LIMIT.to_owned(), Value::Int(time_limit));
        Ok(parameters)
    }

    /// Tells whether the parameter of a task describes a command.
    #[must_use]
    pub fn describes(method: &Value) -> bool {
        method.field("name").as_text() == Some(METHOD)
    }

    /// Reads the parameter of a task; nothing if the method is no command.
    #[must_use]
    pub fn of(method: &Value) -> Option<Self> {
        let texts = |field: &str| {
            let list = method.field(field).as_list().unwrap_or_default();
            list.iter()
                .filter_map(|text| Some(text.as_text()?.to_owned()))
                .collect()
        };
        let env = method.field(ENV).as_record();
        let seconds = method.field(TIME_LIMIT).as_int();
        Self::describes(method).then(|| Self {
            compress: texts(COMPRESS),
            decompress: texts(DECOMPRESS),
            env: env
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.clone(), value.as_text()?.to_owned())))
                .collect(),
            time_limit: Duration::from_secs(
                seconds
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .unwrap_or(TIME_LIMIT_SECONDS.unsigned_abs()),
            ),
        })
    }

    /// What its results hang on beside what the experiment says and gives it: its programs, and the version of a Python
    /// among them, which may be hidden behind a shim.
    #[must_use]
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts: Vec<Fact> = Vec::new();
        for name in [&self.compress, &self.decompress]
            .into_iter()
            .filter_map(|command| command.first())
            .filter(|name| !program::is_relative(name))
        {
            if facts.iter().any(|fact| fact.name == *name) {
                continue;
            }
            facts.push(program::fact(name));
            let file = Path::new(name).file_name().unwrap_or_default();
            if file.to_string_lossy().starts_with("python") {
                facts.push(python::fact(name));
            }
        }
        facts
    }

    /// The sorts that [`Recipe::facts`] can be of.
    #[must_use]
    pub fn fact_sorts() -> [&'static FactSort; 2] {
        [&program::PROGRAM, &python::PYTHON]
    }

    /// How many bytes of memory it is taken to need for a unit of this length. Nobody knows: this is for the scheduler.
    #[must_use]
    pub fn memory(unit: u64) -> u64 {
        unit.saturating_mul(COPIES).saturating_add(MEMORY)
    }
}

fn wrong(field: &str, message: impl Into<String>) -> MethodProblem {
    MethodProblem::Parameter {
        name: field.to_owned(),
        message: message.into(),
    }
}

fn check_command(field: &str, value: &Value) -> Result<(), MethodProblem> {
    let what = "the program and its arguments, a list of texts";
    let list = match value {
        Value::None => {
            let message = format!("a method that is a command needs `{field}`: {what}");
            return Err(wrong(field, message));
        }
        other => other.as_list().unwrap_or_default(),
    };
    let texts: Option<Vec<&str>> = list.iter().map(Value::as_text).collect();
    let Some(texts) = texts.filter(|texts| !texts.is_empty()) else {
        return Err(wrong(field, format!("{what}, is needed, found {value}")));
    };
    if texts[0].is_empty() {
        return Err(wrong(field, "names no program"));
    }
    match texts.iter().find(|text| text.contains('\0')) {
        Some(text) => Err(wrong(field, format!("{text:?} holds a NUL"))),
        None => Ok(()),
    }
}

fn check_env(env: &Value) -> Result<(), MethodProblem> {
    let Some(record) = env.as_record() else {
        let message = format!("a table of environment variables is needed, found {env}");
        return Err(wrong(ENV, message));
    };
    for (name, value) in record {
        let good = !name.is_empty() && !name.contains(['=', '\0']);
        if !good || value.as_text().is_none_or(|text| text.contains('\0')) {
            return Err(wrong(
                ENV,
                format!("`{name} = {value}` is no environment variable with a text"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(more: &[(&str, Value)]) -> BTreeMap<String, Value> {
        let command = Value::List(vec![Value::Text("cp".to_owned())]);
        let mut fields = BTreeMap::from([
            ("by".to_owned(), Value::Text("peer".to_owned())),
            (COMPRESS.to_owned(), command.clone()),
            (DECOMPRESS.to_owned(), command),
        ]);
        for (name, value) in more {
            fields.insert((*name).to_owned(), value.clone());
        }
        fields
    }

    fn problem(more: &[(&str, Value)]) -> String {
        match Recipe::parameters(&fields(more)) {
            Err(MethodProblem::Parameter { name, message }) => format!("{name}: {message}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_recipe_is_read_back_from_its_parameters() {
        let mut parameters = Recipe::parameters(&fields(&[])).unwrap();
        assert!(!parameters.contains_key("by"), "a label is no parameter");
        parameters.insert("name".to_owned(), Value::Text(METHOD.to_owned()));
        let recipe = Recipe::of(&Value::Record(parameters)).unwrap();
        assert_eq!(recipe.compress, ["cp"]);
        assert_eq!(recipe.time_limit, Duration::from_secs(3600));
        let other = Value::Record(BTreeMap::from([(
            "name".to_owned(),
            Value::Text("zstd_1".to_owned()),
        )]));
        assert_eq!(Recipe::of(&other), None);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(
            problem(&[(COMPRESS, Value::None)]),
            "compress: a method that is a command needs `compress`: the program and its arguments, a list of texts"
        );
        assert!(problem(&[(DECOMPRESS, text("cp"))]).contains("is needed, found"));
        assert!(problem(&[(DECOMPRESS, Value::List(vec![]))]).contains("is needed, found"));
        assert!(problem(&[(COMPRESS, Value::List(vec![text("")]))]).contains("names no program"));
        assert!(problem(&[(TIME_LIMIT, Value::Int(0))]).contains("from 1 to"));
        assert!(problem(&[("time_limt", Value::Int(9))]).contains("did you mean `time_limit`?"));
        assert!(problem(&[(ENV, text("A=1"))]).contains("a table of environment variables"));
    }

    #[test]
    fn a_python_is_told_by_its_version_too() {
        let mut fields = fields(&[]);
        let python = Value::List(vec![Value::Text("python3".to_owned())]);
        fields.insert(COMPRESS.to_owned(), python.clone());
        fields.insert(DECOMPRESS.to_owned(), python);
        let mut parameters = Recipe::parameters(&fields).unwrap();
        parameters.insert("name".to_owned(), Value::Text(METHOD.to_owned()));
        let facts = Recipe::of(&Value::Record(parameters)).unwrap().facts();
        let told: Vec<_> = facts
            .iter()
            .map(|fact| (fact.sort.name, fact.name.as_str()))
            .collect();
        assert_eq!(told, [("program", "python3"), ("python", "python3")]);
    }
}
