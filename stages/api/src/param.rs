//! What parameters a stage kind takes: one description for the checker, the JSON Schema and the docs.

use std::sync::Arc;

use crate::value::Value;

/// A parameter of a stage kind, or a field of a record-valued parameter.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// The key in the TOML file.
    pub name: &'static str,
    /// What values it takes.
    pub ty: ParamType,
    /// Whether it must be given, and what holds if it is not.
    pub presence: Presence,
    /// Whether its value is in the key. Only what cannot change the outputs may say no: where bytes come from
    /// that are held against a digest, how often a failure is tried again.
    pub in_key: bool,
    /// One sentence for the schema and the docs.
    pub about: &'static str,
}

impl Param {
    /// A parameter that must be given.
    #[must_use]
    pub const fn required(name: &'static str, ty: ParamType, about: &'static str) -> Self {
        Self {
            name,
            ty,
            presence: Presence::Required,
            in_key: true,
            about,
        }
    }

    /// A parameter that may be left out, and is then `none`.
    #[must_use]
    pub const fn optional(name: &'static str, ty: ParamType, about: &'static str) -> Self {
        Self {
            presence: Presence::Optional,
            ..Self::required(name, ty, about)
        }
    }

    /// A parameter that may be left out, and has then this value.
    #[must_use]
    pub const fn with_default(
        name: &'static str,
        ty: ParamType,
        default: Scalar,
        about: &'static str,
    ) -> Self {
        Self {
            presence: Presence::Default(default),
            ..Self::required(name, ty, about)
        }
    }

    /// The same parameter, left out of the key.
    #[must_use]
    pub const fn not_in_key(self) -> Self {
        Self {
            in_key: false,
            ..self
        }
    }
}

/// Whether a parameter must be given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Presence {
    /// It must be given.
    Required,
    /// It may be left out, and is then `none`.
    Optional,
    /// It may be left out, and has then this value, which is in the key as if it had been written.
    Default(Scalar),
}

/// A default value, as it can stand in a constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(&'static str),
}

impl From<Scalar> for Value {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Bool(bool) => Self::Bool(bool),
            Scalar::Int(int) => Self::Int(int),
            Scalar::Float(float) => Self::Float(float),
            Scalar::Text(text) => Self::Text(text.to_owned()),
        }
    }
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy)]
pub enum ParamType {
    /// `true` or `false`.
    Bool,
    /// A whole number between two bounds, both included.
    Int {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// A finite number; a whole number is taken as one.
    Float,
    /// A text.
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// An expression; the stage kind checks it against the columns that it offers.
    Expression,
    /// A list of values of one type. Where one value is given, it stands for a list of one.
    List(&'static ParamType),
    /// A table with these fields. A value of an axis may have more fields; those are not read.
    Record(&'static [Param]),
    /// A table whose keys are names that the user chooses.
    Map(&'static ParamType),
    /// A method: its name, or a value of an axis whose `use` (else `name`) names it and whose fields may be
    /// its parameters.
    Method,
    /// The path of a file, relative to the file in which it is written. The path is not in the key.
    FilePath,
}

/// The parameters of one task: defaults filled in, axis values put in, only the fields that are read.
///
/// An experiment may have many thousands of tasks, so they are kept small, and tasks share the values in which they
/// do not differ.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Params(Vec<(Arc<str>, Arc<Value>)>);

impl Params {
    /// Sets a parameter.
    pub fn set(&mut self, name: Arc<str>, value: Arc<Value>) {
        match self.0.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => self.0.insert(place, (name, value)),
        }
    }

    /// Returns the parameter; [`Value::None`] where it was left out.
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        const NONE: &Value = &Value::None;
        self.iter()
            .find(|(known, _)| *known == name)
            .map_or(NONE, |(_, value)| value)
    }

    /// All parameters that were not left out, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns a text parameter; the empty text where it was left out.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).as_text().unwrap_or_default()
    }

    /// Returns a whole-number parameter; 0 where it was left out.
    #[must_use]
    pub fn int(&self, name: &str) -> i64 {
        self.get(name).as_int().unwrap_or_default()
    }

    /// Returns the texts of a list parameter; none where it was left out.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.get(name)
            .as_list()
            .unwrap_or_default()
            .iter()
            .filter_map(Value::as_text)
            .collect()
    }
}

impl FromIterator<(String, Value)> for Params {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        let mut params = Self::default();
        for (name, value) in entries {
            params.set(name.into(), Arc::new(value));
        }
        params
    }
}
