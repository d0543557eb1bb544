//! Errors of libraries as errors of a task.

use std::error::Error;
use std::fmt::Display;
use std::io;

use llmcl_stages_api::table::TableError;
use llmcl_stages_api::task::{TaskError, TaskErrorKind};

/// The message of an error and of all that caused it, with a colon between.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// An error about an input: what it is about, and what was found there.
#[must_use]
pub fn input(about: impl Display, error: &dyn Error) -> TaskError {
    TaskError::input(format!("{about}: {}", chain(error)))
}

/// An error of the store or the disk.
#[must_use]
pub fn store(about: impl Display, error: &io::Error) -> TaskError {
    TaskError::new(TaskErrorKind::Store, format!("{about}: {error}"))
}

/// An error about a row that the table does not take: its columns and the code that fills them disagree.
#[must_use]
pub fn row(error: &TableError) -> TaskError {
    TaskError::input(format!("a row of the table: {}", chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told() {
        #[derive(Debug, thiserror::Error)]
        #[error("reading the header")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("it is gone"));
        assert_eq!(chain(&error), "reading the header: it is gone");
    }
}
