//! Methods that are programs of somebody else's: two commands, one that encodes and one that decodes.
//!
//! [`Recipe`] is what the experiment says of one, [`Workshop`] runs it, and [`Compared`] is what became of a unit.
//! What such a program does wrong is a result, not a failure of the task.

mod recipe;
mod workshop;

use llmcl_stages_api::kind::{Check, ProblemKind};
use llmcl_stages_api::port::{Arity, InputPort, PortType};
use llmcl_stages_api::task::{MemberState, TaskContext, TaskError};

pub use recipe::{METHOD, Recipe};
pub use workshop::{Attempt, Compared, Content, Product, Workshop};

/// The port of files that the program consists of.
pub const HELPERS: &str = "helpers";
/// The port of a folder of Python packages.
pub const PACKAGES: &str = "packages";

/// The port of files that the program consists of.
pub const HELPERS_PORT: InputPort = InputPort {
    name: HELPERS,
    ty: PortType::File,
    arity: Arity::Many,
    required: false,
    about: "Files that lie beside the input of a method that is a command.",
};

/// The port of a folder of Python packages.
pub const PACKAGES_PORT: InputPort = InputPort {
    name: PACKAGES,
    ty: PortType::File,
    arity: Arity::One,
    required: false,
    about: "What an `install` put out: packages that a method that is a command can import.",
};

/// Reports inputs that are there for commands where no method is one.
pub fn check_ports(check: &mut Check<'_>, method: &str) {
    if check.tasks.is_empty() || check.values(method).into_iter().any(Recipe::describes) {
        return;
    }
    for port in [HELPERS, PACKAGES] {
        if check.inputs.contains_key(port) {
            check.problem(
                &["inputs", port],
                ProblemKind::Value {
                    message: format!("`{port}` is for methods that are commands, and none is one"),
                    help: Some(format!(
                        "leave it out, or give a method `use = \"{METHOD}\"`"
                    )),
                },
            );
        }
    }
}

/// Makes sure that a method of ours got nothing that is for commands.
///
/// # Errors
/// If it did.
pub fn refuse_inputs(task: &TaskContext<'_>) -> Result<(), TaskError> {
    let came = |port: &&str| {
        let members = task.members(port).iter();
        members
            .map(|member| &member.state)
            .any(|state| matches!(state, MemberState::Present(_)))
    };
    match [HELPERS, PACKAGES].into_iter().find(came) {
        None => Ok(()),
        Some(port) => Err(TaskError::input(format!(
            "`{port}` came in for a method that is no command"
        ))
        .with_hint(format!(
            "take the field away from this value of the axis, or give it `use = \"{METHOD}\"`"
        ))),
    }
}
