//! The methods, as the engine and the stage kinds see them: those of the codecs, and commands.

use std::collections::BTreeMap;

use llmcl_codecs::method::family_of;
use llmcl_codecs::methods::FAMILIES;
use llmcl_codecs::{
    Dtype, Method, MethodError, MethodFamily, MethodParameter, ParameterKind, ParameterValue,
    TensorView,
};
use llmcl_stages_api::registry::{MethodCatalog, MethodInfo, MethodProblem};
use llmcl_stages_api::task::TaskError;
use llmcl_stages_api::value::Value;

use crate::failure;
use crate::foreign::{self, Recipe};

/// The field of a method that holds its name.
const NAME: &str = "name";

/// Every method.
pub static CATALOG: Catalog = Catalog;

/// The methods of the codecs, and the method `command`, which is a program of somebody else's.
#[derive(Debug, Clone, Copy)]
pub struct Catalog;

impl MethodCatalog for Catalog {
    fn resolve(
        &self,
        name: &str,
        fields: &BTreeMap<String, Value>,
    ) -> Result<MethodInfo, MethodProblem> {
        if name == foreign::METHOD {
            return Ok(MethodInfo {
                name: name.to_owned(),
                parameters: Recipe::parameters(fields)?,
                leaves: Vec::new(),
                needs_profile: false,
            });
        }
        let family = family_of(name).ok_or(MethodProblem::Unknown)?;
        let mut parameters = BTreeMap::new();
        let mut values = BTreeMap::new();
        for parameter in family.parameters() {
            let value = fields.get(parameter.name).unwrap_or(&Value::None);
            if value.is_none() {
                continue;
            }
            let value = convert(parameter, value)?;
            parameters.insert(parameter.name.to_owned(), plain(&value));
            values.insert(parameter.name.to_owned(), value);
        }
        let method = llmcl_codecs::resolve(name, &values).map_err(|error| problem(&error))?;
        Ok(MethodInfo {
            name: method.name(),
            parameters,
            leaves: leaves(family),
            needs_profile: family.needs_profile(),
        })
    }

    fn names(&self) -> Vec<String> {
        FAMILIES
            .iter()
            .flat_map(|family| family.examples())
            .chain([foreign::METHOD.to_owned()])
            .collect()
    }
}

/// The leaf of a family, and those of the methods that its own are made of.
fn leaves(family: &dyn MethodFamily) -> Vec<&'static str> {
    let parts = family.made_of().iter().filter_map(|name| family_of(name));
    [family.leaf()]
        .into_iter()
        .chain(parts.flat_map(leaves))
        .collect()
}

/// Finds the method of the codecs that a task's parameter describes: a record of its name and its parameters, as
/// [`MethodInfo::value`] makes it.
///
/// # Errors
/// If there is no such method.
pub fn of_value(value: &Value) -> Result<Box<dyn Method>, TaskError> {
    let name = value
        .field(NAME)
        .as_text()
        .ok_or_else(|| TaskError::input("the method has no name"))?;
    let family = family_of(name);
    let declared = family.map_or(&[][..], MethodFamily::parameters);
    let mut values = BTreeMap::new();
    for (field, value) in value.as_record().into_iter().flatten() {
        if field == NAME || value.is_none() {
            continue;
        }
        let parameter = declared
            .iter()
            .find(|parameter| parameter.name == field)
            .ok_or_else(|| TaskError::input(format!("`{name}` has no parameter `{field}`")))?;
        let value = convert(parameter, value).map_err(|problem| match problem {
            MethodProblem::Unknown => TaskError::input(format!("there is no method `{name}`")),
            MethodProblem::Parameter {
                name: field,
                message,
            } => TaskError::input(format!("the parameter `{field}` of `{name}`: {message}")),
        })?;
        values.insert(field.clone(), value);
    }
    llmcl_codecs::resolve(name, &values).map_err(|error| TaskError::input(failure::chain(&error)))
}

/// Whether the method of this name needs a profile, and can learn it.
#[must_use]
pub fn learns(name: &str) -> bool {
    family_of(name).is_some_and(MethodFamily::needs_profile)
}

/// Whether the method of this name learns from tensors of this type.
pub fn learns_from(name: &str, dtype: Dtype) -> bool {
    family_of(name).is_some_and(|family| family.learns_from(name, dtype))
}

/// Has the method of this name learn a profile from tensors.
///
/// # Errors
/// If it learns nothing, or cannot learn from these.
pub fn train(name: &str, tensors: &[TensorView<'_>]) -> Result<Vec<u8>, TaskError> {
    family_of(name)
        .and_then(|family| family.train(name, tensors))
        .ok_or_else(|| TaskError::input(format!("`{name}` learns nothing")))?
        .map_err(|error| failure::input(format_args!("training `{name}`"), &error))
}

fn convert(parameter: &MethodParameter, value: &Value) -> Result<ParameterValue, MethodProblem> {
    let converted = match (parameter.kind, value) {
        (ParameterKind::Integer, Value::Int(int)) => Some(ParameterValue::Integer(*int)),
        (ParameterKind::Float, value) => value.as_number().map(ParameterValue::Float),
        (ParameterKind::Boolean, Value::Bool(bool)) => Some(ParameterValue::Boolean(*bool)),
        (ParameterKind::Text, Value::Text(text)) => Some(ParameterValue::Text(text.clone())),
        _ => None,
    };
    converted.ok_or_else(|| MethodProblem::Parameter {
        name: parameter.name.to_owned(),
        message: format!("{} is needed, found {value}", parameter.kind),
    })
}

/// The value as it stands in the key.
fn plain(value: &ParameterValue) -> Value {
    match value {
        ParameterValue::Integer(int) => Value::Int(*int),
        // Whatever comes from a file is finite.
        ParameterValue::Float(float) => Value::float(*float).unwrap_or_default(),
        ParameterValue::Boolean(bool) => Value::Bool(*bool),
        ParameterValue::Text(text) => Value::Text(text.clone()),
    }
}

fn problem(error: &MethodError) -> MethodProblem {
    let name = match error {
        MethodError::Unknown { .. } => return MethodProblem::Unknown,
        MethodError::UnknownParameter { parameter, .. }
        | MethodError::ParameterKind { parameter, .. }
        | MethodError::ParameterValue { parameter, .. } => parameter.as_str(),
        // A number in the name that the family does not have.
        _ => NAME,
    };
    MethodProblem::Parameter {
        name: name.to_owned(),
        message: failure::chain(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_found_and_leads_back_to_its_method() {
        let names = CATALOG.names();
        assert!(names.iter().any(|name| name == "zstd_19"));
        for name in names.into_iter().filter(|name| name != foreign::METHOD) {
            let info = CATALOG.resolve(&name, &BTreeMap::new()).unwrap();
            assert_eq!(info.name, name);
            assert!(!info.leaves.is_empty());
            for leaf in &info.leaves {
                assert!(leaf.starts_with("codecs/src/methods/"), "{leaf}");
            }
            assert_eq!(of_value(&info.value()).unwrap().name(), name);
        }
    }

    #[test]
    fn labels_of_an_axis_value_are_no_parameters() {
        let fields = BTreeMap::from([
            ("by".to_owned(), Value::Text("general".to_owned())),
            ("trained".to_owned(), Value::Bool(true)),
        ]);
        let info = CATALOG.resolve("zstd_19", &fields).unwrap();
        assert_eq!(info.parameters, BTreeMap::new());
        assert_eq!(info.leaves, ["codecs/src/methods/zstd.rs"]);
        assert!(!info.needs_profile);
    }

    #[test]
    fn what_a_method_is_made_of_counts_to_its_leaves() {
        let info = CATALOG.resolve("by_type_fast", &BTreeMap::new()).unwrap();
        let names = [
            "by_type_fast",
            "exponent_mantissa_static",
            "block_static",
            "zstd",
        ];
        let leaves = names.map(|name| format!("codecs/src/methods/{name}.rs"));
        assert_eq!(info.leaves, leaves);
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let resolve = |name| CATALOG.resolve(name, &BTreeMap::new());
        assert_eq!(resolve("brotli"), Err(MethodProblem::Unknown));
        let Err(MethodProblem::Parameter { name, message }) = resolve("zstd_99") else {
            panic!("a level that zstd does not have");
        };
        assert_eq!(name, "name");
        assert!(message.contains("zstd_N"), "{message}");
    }

    #[test]
    fn a_command_is_a_method_without_a_leaf() {
        let command = Value::List(vec![Value::Text("cp".to_owned())]);
        let fields = BTreeMap::from([
            ("compress".to_owned(), command.clone()),
            ("decompress".to_owned(), command),
            ("by".to_owned(), Value::Text("peer".to_owned())),
        ]);
        let info = CATALOG.resolve("command", &fields).unwrap();
        assert!(info.leaves.is_empty() && !info.needs_profile);
        assert!(Recipe::of(&info.value()).is_some());
        assert!(CATALOG.resolve("command", &BTreeMap::new()).is_err());
    }

    #[test]
    fn a_task_does_not_take_parameters_that_the_method_lacks() {
        let value = Value::Record(BTreeMap::from([
            ("name".to_owned(), Value::Text("zstd_3".to_owned())),
            ("k".to_owned(), Value::Int(4)),
        ]));
        let error = of_value(&value).unwrap_err();
        assert_eq!(error.message, "`zstd_3` has no parameter `k`");
    }

    #[test]
    fn values_are_converted_by_the_kind_that_the_family_declares() {
        let parameter = |kind| MethodParameter {
            name: "p",
            kind,
            about: "",
        };
        let number = convert(&parameter(ParameterKind::Float), &Value::Int(2));
        assert_eq!(number, Ok(ParameterValue::Float(2.0)));
        let refused = convert(&parameter(ParameterKind::Integer), &Value::Float(2.0));
        assert_eq!(
            refused,
            Err(MethodProblem::Parameter {
                name: "p".to_owned(),
                message: "a whole number is needed, found 2.0".to_owned(),
            })
        );
    }
}
