//! The declarations of an experiment file.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Place;
use crate::toml_tree::{Name, Node, NodeKind};

use super::read::{Reader, check_name, text, texts, wrong_type};

/// The keys that a stage of any kind takes, beside its kind's parameters.
pub(crate) const STAGE_KEYS: &[&str] = &["kind", "each", "where", "when", "inputs", "pruned"];
/// The keys of a claim.
pub(crate) const CLAIM_KEYS: &[&str] = &[
    "name",
    "source",
    "published",
    "table",
    "statistic",
    "tolerance",
    "corpus",
    "status",
    "reason",
];
const ELEMENT_KEYS: &[&str] = &["from", "port", "where", "map", "path", "axis"];

/// An experiment file.
pub(crate) struct Declarations {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) axes: Vec<(Name, Node)>,
    pub(crate) stages: Vec<StageDecl>,
    pub(crate) claims: Vec<ClaimDecl>,
}

/// A stage as it is written.
pub(crate) struct StageDecl {
    pub(crate) name: Name,
    pub(crate) kind: Option<Name>,
    pub(crate) each: Vec<Name>,
    /// The conditions stay nodes, because messages point into their text.
    pub(crate) condition: Option<Node>,
    pub(crate) when: Option<Node>,
    pub(crate) inputs: Vec<InputDecl>,
    /// Where `pruned = "report"` is written.
    pub(crate) reports_pruned: Option<Place>,
    /// The keys that are the kind's own.
    pub(crate) params: Vec<(Name, Node)>,
}

/// What is written for one input port.
pub(crate) struct InputDecl {
    pub(crate) port: Name,
    pub(crate) elements: Vec<Element>,
}

/// One element of an input.
pub(crate) struct Element {
    pub(crate) place: Place,
    pub(crate) source: ElementSource,
}

/// Where an element of an input comes from.
pub(crate) enum ElementSource {
    /// Other stages.
    Stages {
        from: Vec<Name>,
        port: Option<Name>,
        condition: Option<Node>,
        map: Vec<(Name, Name)>,
    },
    /// A file of the repository.
    Path(Node),
    /// A field of an axis value that holds `{ path = … }`.
    Axis(Name),
}

/// A published figure, as it is written.
#[derive(Debug, Clone)]
pub(crate) struct ClaimDecl {
    pub(crate) place: Place,
    pub(crate) name: String,
    pub(crate) source: Option<String>,
    pub(crate) published: Option<f64>,
    pub(crate) table: Option<Name>,
    pub(crate) statistic: Option<Node>,
    pub(crate) tolerance: Option<f64>,
    pub(crate) corpus: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) reason: Option<String>,
}

impl Declarations {
    /// Reads the tree of an experiment file.
    pub(crate) fn read(root: &Node, problems: &mut Vec<Diagnostic>) -> Self {
        let mut declarations = Self {
            name: String::new(),
            title: String::new(),
            axes: Vec::new(),
            stages: Vec::new(),
            claims: Vec::new(),
        };
        let top = ["experiment", "axes", "stages", "claims"];
        let Some(reader) = Reader::new(root, "the experiment file", &top, problems) else {
            return declarations;
        };
        let start = Place {
            end: root.place.start,
            ..root.place.clone()
        };
        if let Some(node) = reader.required("experiment", &start, problems)
            && let Some(header) = Reader::new(node, "[experiment]", &["name", "title"], problems)
        {
            if let Some(name) = header.required_text("name", &node.place, problems) {
                check_name(&name, "an experiment", problems);
                declarations.name = name.text;
            }
            if let Some(title) = header.text("title", problems) {
                declarations.title = title.text;
            }
        }
        if let Some(node) = reader.optional("axes") {
            declarations.axes = named(node, "an axis", problems);
        }
        if let Some(node) = reader.required("stages", &start, problems) {
            declarations.stages = named(node, "a stage", problems)
                .into_iter()
                .filter_map(|(name, node)| stage(name, &node, problems))
                .collect();
        }
        if let Some(node) = reader.optional("claims") {
            match node.as_list() {
                Some(list) => {
                    let claims = list.iter().filter_map(|node| claim(node, problems));
                    declarations.claims = claims.collect();
                }
                None => problems.push(wrong_type(node, "a list of tables, written [[claims]]")),
            }
        }
        declarations
    }
}

fn named(node: &Node, what: &str, problems: &mut Vec<Diagnostic>) -> Vec<(Name, Node)> {
    let Some(entries) = node.as_table() else {
        problems.push(wrong_type(node, "a table"));
        return Vec::new();
    };
    for (name, _) in entries {
        check_name(name, what, problems);
    }
    entries.to_vec()
}

fn stage(name: Name, node: &Node, problems: &mut Vec<Diagnostic>) -> Option<StageDecl> {
    let Some(entries) = node.as_table() else {
        problems.push(wrong_type(
            node,
            &format!("a table, written [stages.{}]", name.text),
        ));
        return None;
    };
    let mut stage = StageDecl {
        kind: None,
        each: Vec::new(),
        condition: None,
        when: None,
        inputs: Vec::new(),
        reports_pruned: None,
        params: Vec::new(),
        name,
    };
    for (key, value) in entries {
        match key.text.as_str() {
            "kind" => stage.kind = text(value, problems),
            "each" => stage.each = texts(value, problems),
            "where" => stage.condition = condition(value, problems),
            "when" => stage.when = condition(value, problems),
            "inputs" => stage.inputs = inputs(value, problems),
            "pruned" => {
                if let Some(word) = text(value, problems) {
                    if word.text == "report" {
                        stage.reports_pruned = Some(word.place);
                    } else {
                        problems.push(
                            Diagnostic::new(
                                Code::BadValue,
                                format!("`pruned` cannot be `{}`", word.text),
                                &word.place,
                                "",
                            )
                            .help("the one value is \"report\"; leave the key out for the usual: prune"),
                        );
                    }
                }
            }
            _ => stage.params.push((key.clone(), value.clone())),
        }
    }
    if stage.kind.is_none() && node.get("kind").is_none() {
        problems.push(Diagnostic::new(
            Code::MissingKey,
            format!("the stage `{}` lacks the key `kind`", stage.name.text),
            &stage.name.place,
            "`kind` must be given",
        ));
    }
    Some(stage)
}

fn condition(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Node> {
    text(node, problems).map(|_| node.clone())
}

fn inputs(node: &Node, problems: &mut Vec<Diagnostic>) -> Vec<InputDecl> {
    let Some(entries) = node.as_table() else {
        problems.push(wrong_type(
            node,
            "a table of ports, such as { tensors = \"weights\" }",
        ));
        return Vec::new();
    };
    entries
        .iter()
        .map(|(port, node)| {
            let elements = match &node.kind {
                NodeKind::List(list) => list
                    .iter()
                    .filter_map(|node| element(node, problems))
                    .collect(),
                _ => element(node, problems).into_iter().collect(),
            };
            InputDecl {
                port: port.clone(),
                elements,
            }
        })
        .collect()
}

fn element(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Element> {
    let place = node.place.clone();
    if node.as_text().is_some() {
        let source = ElementSource::Stages {
            from: texts(node, problems),
            port: None,
            condition: None,
            map: Vec::new(),
        };
        return Some(Element { place, source });
    }
    if node.as_table().is_none() {
        problems.push(wrong_type(
            node,
            "the name of a stage, or a table such as { from = \"weights\" }",
        ));
        return None;
    }
    let reader = Reader::new(node, "an input", ELEMENT_KEYS, problems)?;
    let sources: Vec<&str> = ["from", "path", "axis"]
        .into_iter()
        .filter(|key| reader.optional(key).is_some())
        .collect();
    let [source] = sources[..] else {
        problems.push(
            Diagnostic::new(
                Code::BadValue,
                "an input has exactly one of `from`, `path` and `axis`",
                &place,
                "",
            )
            .help("`from` names stages, `path` a file of the repository, `axis` a field of an axis value that holds one"),
        );
        return None;
    };
    if source != "from" {
        for key in ["port", "where", "map"] {
            if let Some(extra) = reader.optional(key) {
                problems.push(Diagnostic::new(
                    Code::UnknownKey,
                    format!("`{key}` goes with `from`, not with `{source}`"),
                    &extra.place,
                    "",
                ));
            }
        }
    }
    let source = match source {
        "path" => ElementSource::Path(condition(reader.optional("path")?, problems)?),
        "axis" => ElementSource::Axis(reader.text("axis", problems)?),
        _ => ElementSource::Stages {
            from: texts(reader.optional("from")?, problems),
            port: reader.text("port", problems),
            condition: reader
                .optional("where")
                .and_then(|node| condition(node, problems)),
            map: map(reader.optional("map"), problems),
        },
    };
    Some(Element { place, source })
}

fn map(node: Option<&Node>, problems: &mut Vec<Diagnostic>) -> Vec<(Name, Name)> {
    let Some(node) = node else {
        return Vec::new();
    };
    let Some(entries) = node.as_table() else {
        problems.push(wrong_type(
            node,
            "a table of axes, such as { held_out = \"model\" }",
        ));
        return Vec::new();
    };
    entries
        .iter()
        .filter_map(|(name, node)| Some((name.clone(), text(node, problems)?)))
        .collect()
}

fn claim(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<ClaimDecl> {
    let reader = Reader::new(node, "a claim", CLAIM_KEYS, problems)?;
    let name = reader.required_text("name", &node.place, problems)?;
    let claim = ClaimDecl {
        place: name.place,
        name: name.text,
        source: reader.text("source", problems).map(|name| name.text),
        published: reader.number("published", problems),
        table: reader.text("table", problems),
        statistic: reader
            .optional("statistic")
            .and_then(|node| condition(node, problems)),
        tolerance: reader.number("tolerance", problems),
        corpus: reader.text("corpus", problems).map(|name| name.text),
        status: reader.text("status", problems).map(|name| name.text),
        reason: reader.text("reason", problems).map(|name| name.text),
    };
    check_claim(&claim, problems);
    Some(claim)
}

/// A claim is either held against a statistic of a table, or is not comparable and says why.
fn check_claim(claim: &ClaimDecl, problems: &mut Vec<Diagnostic>) {
    let mut wrong = |message: String, help: &str| {
        problems
            .push(Diagnostic::new(Code::BadClaim, message, &claim.place, "this claim").help(help));
    };
    match claim.status.as_deref() {
        Some("not comparable") => {
            if claim.reason.is_none() {
                wrong(
                    "a claim that is not comparable says why".to_owned(),
                    "add `reason = \"…\"`",
                );
            }
            if claim.statistic.is_some() || claim.table.is_some() {
                wrong(
                    "a claim that is not comparable has no `table` and no `statistic`".to_owned(),
                    "remove them, or remove `status`",
                );
            }
        }
        Some(other) => wrong(
            format!("the status of a claim cannot be `{other}`"),
            "the one status is \"not comparable\"; leave it out for a claim that is compared",
        ),
        None => {
            let missing: Vec<&str> = [
                ("published", claim.published.is_none()),
                ("table", claim.table.is_none()),
                ("statistic", claim.statistic.is_none()),
                ("tolerance", claim.tolerance.is_none()),
            ]
            .into_iter()
            .filter_map(|(key, missing)| missing.then_some(key))
            .collect();
            if !missing.is_empty() {
                wrong(
                    format!("the claim lacks {}", missing.join(", ")),
                    "a claim that cannot be compared says `status = \"not comparable\"` and a `reason`",
                );
            }
        }
    }
    if claim.tolerance.is_some_and(|tolerance| tolerance < 0.0) {
        wrong(
            "the tolerance of a claim is negative".to_owned(),
            "it is the largest difference that counts as agreement",
        );
    }
}
