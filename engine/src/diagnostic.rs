//! Mistakes in an experiment, with places and advice. How they look is the cli's.

use crate::codes::Code;
use crate::source::Place;

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which sort of mistake; `llmcl help CODE` explains it.
    pub code: Code,
    /// One sentence, in lower case, without a full stop.
    pub message: String,
    /// Where it is, the main place first. Empty only if a file could not be read at all.
    pub labels: Vec<Label>,
    /// What to do, or what was probably meant.
    pub help: Vec<String>,
}

/// A place and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub place: Place,
    /// A few words; may be empty.
    pub text: String,
}

impl Diagnostic {
    /// Makes a diagnostic with its main place.
    #[must_use]
    pub fn new(
        code: Code,
        message: impl Into<String>,
        place: &Place,
        text: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            labels: vec![Label {
                place: place.clone(),
                text: text.into(),
            }],
            help: Vec::new(),
        }
    }

    /// Adds another place.
    #[must_use]
    pub fn also(mut self, place: &Place, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            place: place.clone(),
            text: text.into(),
        });
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Adds advice that names what was probably meant, if there is such a name.
    #[must_use]
    pub fn did_you_mean(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}
