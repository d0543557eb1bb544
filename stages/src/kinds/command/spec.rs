//! What the parameters say, read and checked.

use std::collections::BTreeMap;

use llmcl_stages_api::param::Params;
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::table::Column;
use llmcl_stages_api::value::{Type, Value};

use super::params;
use crate::program::is_relative;

/// A command.
pub(super) struct Spec {
    pub(super) argv: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) outputs: Vec<Output>,
    pub(super) retries: i64,
}

/// An output port.
pub(super) struct Output {
    pub(super) port: String,
    /// Where it is to be, relative to the working folder.
    pub(super) path: String,
    pub(super) ty: PortType,
    pub(super) columns: Vec<Column>,
    pub(super) may_be_empty: bool,
}

impl Spec {
    pub(super) fn of(params: &Params) -> Self {
        let env = params.get(params::ENV).as_record();
        Self {
            argv: params
                .texts(params::ARGV)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            env: env
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.clone(), value.as_text()?.to_owned())))
                .collect(),
            outputs: outputs(params.get(params::OUTPUTS)),
            retries: params.int(params::RETRIES),
        }
    }
}

/// Reads the parameter `outputs`.
pub(super) fn outputs(value: &Value) -> Vec<Output> {
    value
        .as_record()
        .into_iter()
        .flatten()
        .map(|(port, output)| Output {
            port: port.clone(),
            path: output
                .field("path")
                .as_text()
                .unwrap_or_default()
                .to_owned(),
            ty: match output.field("type").as_text() {
                Some("table") => PortType::Table,
                Some("profile") => PortType::Profile,
                Some("encoded") => PortType::Encoded,
                Some("report") => PortType::Report,
                _ => PortType::File,
            },
            columns: output
                .field("columns")
                .as_record()
                .into_iter()
                .flatten()
                .map(|(name, ty)| {
                    let ty = match ty.as_text() {
                        Some("bool") => Type::Bool,
                        Some("int") => Type::Int,
                        Some("float") => Type::Float,
                        _ => Type::Text,
                    };
                    Column::new(name, ty, "")
                })
                .collect(),
            may_be_empty: output.field("may_be_empty").as_bool() == Some(true),
        })
        .collect()
}

/// A mistake in the parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where: `["outputs", "scores", "path"]`.
    pub(super) path: Vec<String>,
    pub(super) message: String,
    pub(super) help: Option<&'static str>,
}

/// Finds all mistakes; `ports` are the input ports.
pub(super) fn faults(params: &Params, ports: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |path: &[&str], message: String, help| {
        faults.push(Fault {
            path: path.iter().map(|&part| part.to_owned()).collect(),
            message,
            help,
        });
    };
    let spec = Spec::of(params);
    match spec.argv.first().map(String::as_str) {
        None | Some("") => fault(&[params::ARGV], "names no program".to_owned(), None),
        Some(program) if is_relative(program) => {
            let parts: Vec<&str> = program.trim_start_matches("./").split('/').collect();
            if !ports.iter().any(|port| *port == parts[0]) {
                fault(
                    &[params::ARGV],
                    format!("`{program}` lies in no input"),
                    Some("the working folder holds a folder for each input port and nothing else"),
                );
            }
        }
        Some(_) => {}
    }
    for text in spec.argv.iter().filter(|text| text.contains('\0')) {
        fault(&[params::ARGV], format!("{text:?} holds a NUL"), None);
    }
    for (name, value) in &spec.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            fault(
                &[params::ENV, name],
                "is no environment variable".to_owned(),
                None,
            );
        }
    }
    for port in ports {
        if !is_inner_path(port) || port.contains('/') {
            fault(
                &["inputs", port],
                format!("`{port}` cannot be the name of a folder"),
                None,
            );
        }
    }
    if spec.outputs.is_empty() {
        fault(&[params::OUTPUTS], "names no output".to_owned(), None);
    }
    for (index, output) in spec.outputs.iter().enumerate() {
        let at = [params::OUTPUTS, output.port.as_str()];
        let path = [at[0], at[1], "path"];
        if !is_inner_path(&output.path) {
            let message = format!("`{}` is no path inside of the working folder", output.path);
            fault(&path, message, None);
        }
        if let Some(port) = ports.iter().find(|port| overlap(port, &output.path)) {
            let message = format!("`{}` is where the input `{port}` is", output.path);
            fault(&path, message, None);
        }
        for other in &spec.outputs[..index] {
            if overlap(&other.path, &output.path) {
                let message = format!("`{}` is also a path of `{}`", output.path, other.port);
                fault(&path, message, None);
            }
        }
        let columns = [at[0], at[1], "columns"];
        if output.ty == PortType::Table && output.columns.is_empty() {
            fault(&at, "is a table and has no `columns`".to_owned(), None);
        }
        if output.ty != PortType::Table && !output.columns.is_empty() {
            fault(&columns, "is for tables".to_owned(), None);
        }
    }
    faults
}

/// Tells whether one path is the other or lies in it.
fn overlap(a: &str, b: &str) -> bool {
    let inside = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    inside(a, b) || inside(b, a)
}

/// Tells whether the text is a relative path that stays below where it starts.
fn is_inner_path(text: &str) -> bool {
    !text.contains('\0')
        && text
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}
