//! What is said to pip, and what it says, as errors of a task.

use llmcl_stages_api::task::{TaskError, TaskErrorKind};

use crate::process::{Finished, ProcessError};

/// What pip says when the line is at fault, and not the request. It says that there is no such version all the
/// same then, so these are looked for first.
const PASSING: &[&str] = &[
    "after connection broken",
    "Connection aborted",
    "ConnectionError",
    "Read timed out",
    "ReadTimeoutError",
    "Max retries exceeded",
    "IncompleteRead",
    "Temporary failure in name resolution",
    "HTTP error 429",
    "HTTP error 5",
    "429 Client Error",
    " Server Error",
];

/// Why pip was not run to its end.
#[must_use]
pub fn not_run(error: ProcessError) -> TaskError {
    let outside = |error: ProcessError| TaskError::new(TaskErrorKind::Outside, error.to_string());
    match error {
        ProcessError::Stopped { reason, .. } => *reason,
        error @ ProcessError::Start { .. } => {
            outside(error).with_hint("Python 3 with pip is needed here")
        }
        error => outside(error),
    }
}

/// Makes of what pip says an error of ours. `what` is what it was asked for.
#[must_use]
pub fn failed(python: &str, what: &str, finished: &Finished) -> TaskError {
    let outside = |message: String| TaskError::new(TaskErrorKind::Outside, message);
    let said = finished.stderr.text();
    let last = finished.stderr.last_lines(3).join("; ");
    if said.contains("No module named pip") {
        return outside(format!("`{python}` has no pip"))
            .with_hint("install pip for it: packages come through the installed pip");
    }
    if said.contains("No space left on device") {
        return TaskError::new(TaskErrorKind::Store, format!("pip, at `{what}`: {last}"));
    }
    if PASSING.iter().any(|sign| said.contains(sign)) {
        return TaskError::new(
            TaskErrorKind::Passing,
            format!("pip could not reach the index for `{what}`: {last}"),
        );
    }
    if said.contains("DO NOT MATCH THE HASHES") {
        let lines = said.lines().map(str::trim);
        let telling = |line: &&str| {
            ["Expected sha256", "Got", "or "]
                .iter()
                .any(|sign| line.starts_with(sign))
                || (line.contains("==") && line.contains("from "))
        };
        let lines: Vec<&str> = lines.filter(telling).collect();
        return outside(format!(
            "what pip found is not what is pinned: {}",
            lines.join("; ")
        ))
        .with_hint("nothing of it was kept; the index may hold another build of the same version");
    }
    if said.contains("No matching distribution") {
        return outside(format!("pip finds no wheel for `{what}`: {last}"))
            .with_hint("the index that pip is set up with may not have it, or not any more");
    }
    outside(format!("pip {} at `{what}`: {last}", finished.exit))
}

/// Tells whether the text names one version of a package and nothing that pip would take for an option or a URL.
#[must_use]
pub fn is_requirement(text: &str) -> bool {
    let word = |part: &str, more: &[u8]| {
        part.bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    text.split_once("==")
        .is_some_and(|(name, version)| word(name, b"._-") && word(version, b".+!_-"))
}

/// Tells whether the text is so many hexadecimal digits in lower case.
#[must_use]
pub fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
