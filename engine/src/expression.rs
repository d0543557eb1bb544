//! Expressions as they stand in the file: compiled, with their mistakes placed in the file.

use std::collections::BTreeMap;

use llmcl_stages_api::expr::{self, Checked, Expr, ExprError, ExprErrorKind, Mode, Scope};
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::value::Type;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Sources;
use crate::toml_tree::Node;

/// Compiles a condition over variables: a `where` or a `when`.
pub(crate) fn condition(
    sources: &Sources,
    node: &Node,
    variables: BTreeMap<String, Type>,
    problems: &mut Vec<Diagnostic>,
) -> Option<(Expr, Checked)> {
    let scope = Scope {
        variables,
        tables: Vec::new(),
        mode: Mode::Scalar,
    };
    compile(sources, node, &scope, true, problems)
}

/// Compiles a statistic over one table, as in a claim.
pub(crate) fn statistic(
    sources: &Sources,
    node: &Node,
    table: &Schema,
    problems: &mut Vec<Diagnostic>,
) -> Option<(Expr, Checked)> {
    let scope = Scope {
        variables: BTreeMap::new(),
        // The name of a stage is in no key, so a claim cannot use it.
        tables: vec![(String::new(), table)],
        mode: Mode::Aggregate,
    };
    compile(sources, node, &scope, false, problems)
}

fn compile(
    sources: &Sources,
    node: &Node,
    scope: &Scope<'_>,
    condition: bool,
    problems: &mut Vec<Diagnostic>,
) -> Option<(Expr, Checked)> {
    let result = expr::parse(node.as_text()?).and_then(|expr| {
        let checked = if condition {
            expr::check_condition(&expr, scope)?
        } else {
            expr::check(&expr, scope)?
        };
        Ok((expr, checked))
    });
    match result {
        Ok(compiled) => Some(compiled),
        Err(errors) => {
            problems.extend(errors.iter().map(|error| diagnostic(sources, node, error)));
            None
        }
    }
}

/// Places the mistake of an expression in the file.
pub(crate) fn diagnostic(sources: &Sources, node: &Node, error: &ExprError) -> Diagnostic {
    let code = match &error.kind {
        ExprErrorKind::Syntax(_) => Code::ExpressionSyntax,
        ExprErrorKind::UnknownName { .. } | ExprErrorKind::UnknownFunction { .. } => {
            Code::UnknownName
        }
        ExprErrorKind::UnknownField { .. } => Code::UnknownField,
        ExprErrorKind::UnknownColumn { .. } | ExprErrorKind::Unqualified { .. } => {
            Code::UnknownColumn
        }
        _ => Code::ExpressionType,
    };
    let place = node.inside(sources, error.span.clone());
    let problem = Diagnostic::new(code, error.to_string(), &place, "");
    match error.help() {
        Some(help) => problem.help(help),
        None => problem,
    }
}
