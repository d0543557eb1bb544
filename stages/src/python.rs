//! Which Python a machine has.

use std::process::Command;

use llmcl_stages_api::machine::{Fact, FactSort};
use llmcl_stages_api::task::{TaskError, TaskErrorKind};
use llmcl_stages_api::value::Value;

use crate::process::{self, Limits};
use crate::program;

/// What the interpreter says of itself. `-I` keeps what lies about out of it.
const ASK: [&str; 3] = [
    "-I",
    "-c",
    "import platform, sys, sysconfig; print(sys.implementation.cache_tag, platform.python_version(), sysconfig.get_platform())",
];

/// The version of the interpreter of a name: packages hang on it, and its file may be a shim that leads to any.
pub static PYTHON: FactSort = FactSort {
    name: "python",
    find: |name| {
        let outside = |what: String| TaskError::new(TaskErrorKind::Outside, what);
        let mut command = Command::new(program::located(name)?);
        command.args(ASK);
        let finished = process::run(&mut command, &Limits::default(), &mut || Ok(()))
            .map_err(|error| outside(error.to_string()))?;
        let version = finished.stdout.text().trim().to_owned();
        if finished.exit.is_success() && !version.is_empty() {
            Ok(Value::Text(version))
        } else {
            let said = finished.stderr.last_lines(1).join("");
            Err(outside(format!(
                "`{name}` {} when it was asked for its version: {said}",
                finished.exit
            )))
        }
    },
};

/// The fact that the interpreter of this name has the version that it has.
#[must_use]
pub fn fact(name: &str) -> Fact {
    Fact {
        sort: &PYTHON,
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_tells_no_version_is_no_python() {
        let error = (PYTHON.find)("false").unwrap_err();
        assert!(error.message.contains("asked for its version"), "{error}");
        let error = (PYTHON.find)("no-such-python").unwrap_err();
        assert_eq!(error.message, "there is no program `no-such-python`");
    }
}
