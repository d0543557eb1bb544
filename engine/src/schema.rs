//! The JSON Schema of experiment files, made from the same descriptions that the checker uses.

use llmcl_stages_api::kind::StageKind;
use llmcl_stages_api::param::{Param, ParamType, Presence, Scalar};
use llmcl_stages_api::registry::Registry;
use serde_json::{Map, Value as Json, json};

use crate::experiment::{CLAIM_KEYS, STAGE_KEYS};

/// Makes the schema, in the draft of JSON Schema (07) that editors of TOML read best.
#[must_use]
pub fn schema(registry: &Registry) -> Json {
    let stages: Vec<Json> = registry.kinds.iter().map(|kind| stage(*kind)).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "llmcl experiment",
        "type": "object",
        "additionalProperties": false,
        "required": ["experiment", "stages"],
        "properties": {
            "experiment": {
                "type": "object",
                "additionalProperties": false,
                "required": ["name"],
                "properties": {
                    "name": { "type": "string", "pattern": NAME, "description": "The experiment's name." },
                    "title": { "type": "string", "description": "What reports call it." },
                },
            },
            "axes": {
                "type": "object",
                "description": "Named lists of values that stages are repeated over.",
                "propertyNames": { "pattern": NAME },
                "additionalProperties": { "$ref": "#/definitions/axis" },
            },
            "stages": {
                "type": "object",
                "description": "The stages, by name.",
                "propertyNames": { "pattern": NAME },
                "additionalProperties": { "oneOf": stages },
            },
            "claims": {
                "type": "array",
                "description": "Published figures that the verdict holds against the run's own.",
                "items": { "$ref": "#/definitions/claim" },
            },
        },
        "definitions": {
            "axis": axis(),
            "input": input(),
            "element": element(),
            "claim": claim(),
            "binding": binding(),
        },
    })
}

/// What the name of a stage, an axis or an experiment looks like.
const NAME: &str = "^[a-z][a-z0-9_]*$";

fn axis() -> Json {
    let condition =
        json!({ "type": "string", "description": "Which values are taken: an expression." });
    json!({
        "oneOf": [
            {
                "type": "array",
                "description": "A list of plain values, or of tables that each have a name.",
                "minItems": 1,
            },
            {
                "type": "object",
                "description": "The models of a corpus file.",
                "additionalProperties": false,
                "required": ["corpus"],
                "properties": {
                    "corpus": { "type": "string", "description": "The file, relative to this one." },
                    "where": condition,
                },
            },
            {
                "type": "object",
                "description": "The values of another axis.",
                "additionalProperties": false,
                "required": ["axis"],
                "properties": {
                    "axis": { "type": "string", "description": "The other axis." },
                    "where": condition,
                },
            },
        ],
    })
}

fn input() -> Json {
    json!({
        "description": "A stage, a table such as { from = \"stage\" }, or a list of them.",
        "oneOf": [
            { "$ref": "#/definitions/element" },
            { "type": "array", "items": { "$ref": "#/definitions/element" } },
        ],
    })
}

fn element() -> Json {
    let names = json!({
        "oneOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ],
    });
    json!({
        "oneOf": [
            { "type": "string", "description": "The name of a stage." },
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["from"],
                "properties": {
                    "from": names,
                    "port": { "type": "string", "description": "Which output; the first if left out." },
                    "where": { "type": "string", "description": "Which of the gathered tasks: an expression." },
                    "map": {
                        "type": "object",
                        "description": "The other stage's axes that are joined with axes of other names of this one.",
                        "additionalProperties": { "type": "string" },
                    },
                },
            },
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["path"],
                "properties": { "path": { "type": "string", "description": "A file, relative to this one." } },
            },
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["axis"],
                "properties": { "axis": { "type": "string", "description": "A field of an axis value that holds a file." } },
            },
        ],
    })
}

fn claim() -> Json {
    let mut properties = Map::new();
    for key in CLAIM_KEYS {
        let ty = match *key {
            "published" | "tolerance" => json!({ "type": "number" }),
            "status" => json!({ "enum": ["not comparable"] }),
            _ => json!({ "type": "string" }),
        };
        properties.insert((*key).to_owned(), ty);
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": properties,
    })
}

fn binding() -> Json {
    json!({
        "type": "object",
        "description": "The value that the task has on an axis, or a field of it.",
        "additionalProperties": false,
        "required": ["axis"],
        "properties": { "axis": { "type": "string" } },
    })
}

fn stage(kind: &dyn StageKind) -> Json {
    let mut properties = Map::new();
    for key in STAGE_KEYS {
        let value = match *key {
            "kind" => json!({ "const": kind.name(), "description": kind.about() }),
            "each" => json!({
                "type": "array",
                "items": { "type": "string" },
                "description": "The axes that the stage is repeated over.",
            }),
            "where" => json!({
                "type": "string",
                "description": "For which values there are tasks at all: an expression over the stage's axes.",
            }),
            "when" => json!({
                "type": "string",
                "description": "Which outcomes of gates let it run: an expression over gates and the stage's axes.",
            }),
            "inputs" => inputs(kind),
            _ => json!({
                "enum": ["report"],
                "description": "Run with what there is where inputs were pruned, and tell what is missing.",
            }),
        };
        if *key != "pruned" || kind.reports_pruned() {
            properties.insert((*key).to_owned(), value);
        }
    }
    let mut required = vec!["kind".to_owned()];
    if kind.inputs().fixed.iter().any(|port| port.required) {
        required.push("inputs".to_owned());
    }
    for param in kind.params() {
        properties.insert(param.name.to_owned(), param_schema(param));
        if param.presence == Presence::Required {
            required.push(param.name.to_owned());
        }
    }
    json!({
        "type": "object",
        "title": kind.name(),
        "description": kind.about(),
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

fn inputs(kind: &dyn StageKind) -> Json {
    let ports = kind.inputs();
    let mut properties = Map::new();
    let mut required = Vec::new();
    for port in ports.fixed {
        properties.insert(
            port.name.to_owned(),
            json!({ "allOf": [{ "$ref": "#/definitions/input" }], "description": port.about }),
        );
        if port.required {
            required.push(port.name);
        }
    }
    let additional = match ports.open {
        Some(port) => {
            json!({ "allOf": [{ "$ref": "#/definitions/input" }], "description": port.about })
        }
        None => Json::Bool(false),
    };
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": additional,
    })
}

fn param_schema(param: &Param) -> Json {
    let mut schema = json!({
        "description": param.about,
        "anyOf": [type_schema(&param.ty), { "$ref": "#/definitions/binding" }],
    });
    if let Presence::Default(default) = param.presence
        && let Some(object) = schema.as_object_mut()
    {
        object.insert("default".to_owned(), scalar(default));
    }
    schema
}

fn scalar(scalar: Scalar) -> Json {
    match scalar {
        Scalar::Bool(bool) => bool.into(),
        Scalar::Int(int) => int.into(),
        Scalar::Float(float) => json!(float),
        Scalar::Text(text) => text.into(),
    }
}

fn type_schema(ty: &ParamType) -> Json {
    match ty {
        ParamType::Bool => json!({ "type": "boolean" }),
        ParamType::Int { min, max } => match *max {
            i64::MAX => json!({ "type": "integer", "minimum": min }),
            _ => json!({ "type": "integer", "minimum": min, "maximum": max }),
        },
        ParamType::Float => json!({ "type": "number" }),
        ParamType::Text | ParamType::Expression | ParamType::FilePath => {
            json!({ "type": "string" })
        }
        ParamType::Choice(choices) => json!({ "enum": choices }),
        ParamType::List(element) => {
            let one = type_schema(element);
            json!({ "anyOf": [{ "type": "array", "items": inside(element) }, one] })
        }
        ParamType::Map(element) => {
            json!({ "type": "object", "additionalProperties": inside(element) })
        }
        ParamType::Record(fields) => record(fields),
        ParamType::Method => json!({
            "anyOf": [
                { "type": "string", "description": "The name of a method." },
                { "type": "object", "required": ["name"] },
            ],
        }),
    }
}

/// An element of a list or a map; it may be an axis value, too.
fn inside(element: &ParamType) -> Json {
    json!({ "anyOf": [type_schema(element), { "$ref": "#/definitions/binding" }] })
}

fn record(fields: &[Param]) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        let mut schema = type_schema(&field.ty);
        if let Some(object) = schema.as_object_mut() {
            object.insert("description".to_owned(), field.about.into());
        }
        properties.insert(field.name.to_owned(), schema);
        if field.presence == Presence::Required {
            required.push(field.name);
        }
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}
