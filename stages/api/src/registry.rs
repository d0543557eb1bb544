//! What kinds and methods there are. The cli fills it; the engine knows no kind by name.

use std::collections::BTreeMap;

use crate::fingerprint::Fingerprints;
use crate::kind::StageKind;
use crate::value::Value;

/// The stage kinds and methods of a program.
pub struct Registry {
    /// The stage kinds.
    pub kinds: Vec<&'static dyn StageKind>,
    /// The methods.
    pub methods: &'static dyn MethodCatalog,
    /// The digests of the sources that they were built from.
    pub fingerprints: Fingerprints,
}

impl Registry {
    /// Finds a stage kind.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&'static dyn StageKind> {
        self.kinds.iter().copied().find(|kind| kind.name() == name)
    }
}

/// The methods that are known.
pub trait MethodCatalog: Sync {
    /// Finds a method by its name and takes its parameters out of `fields`, which may hold more.
    ///
    /// # Errors
    /// If there is no such method, or a parameter is wrong.
    fn resolve(
        &self,
        name: &str,
        fields: &BTreeMap<String, Value>,
    ) -> Result<MethodInfo, MethodProblem>;

    /// Names for suggestions.
    fn names(&self) -> Vec<String>;
}

/// A method as a parameter of a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodInfo {
    /// Its name.
    pub name: String,
    /// Its parameters, with defaults filled in.
    pub parameters: BTreeMap<String, Value>,
    /// Its leaf, and those of what it is made of; see [`crate::fingerprint`]. None for one whose code is shared.
    pub leaves: Vec<&'static str>,
    /// Whether it decodes only with a profile.
    pub needs_profile: bool,
}

impl MethodInfo {
    /// The value that goes into a task's parameters: `{ name, …parameters }`.
    #[must_use]
    pub fn value(&self) -> Value {
        let mut record = self.parameters.clone();
        record.insert("name".to_owned(), Value::Text(self.name.clone()));
        Value::Record(record)
    }
}

/// Why a method could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodProblem {
    /// There is none of that name.
    Unknown,
    /// A parameter of it is wrong.
    Parameter {
        /// Which.
        name: String,
        /// What is wrong with it.
        message: String,
    },
}
