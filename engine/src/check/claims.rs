//! Claims: published figures, which the verdict holds against the run's own.

use std::collections::{BTreeMap, BTreeSet};

use llmcl_stages_api::kind::{InputSchema, StageKind};
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::value::Value;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::experiment::ClaimDecl;
use crate::expression;
use crate::model::InputMember;

use super::{Built, Checker};

/// What the claims add to the stage that owns them.
#[derive(Default)]
pub(super) struct OwnClaims {
    /// The parameter `claims`.
    pub(super) value: Value,
    /// The ports `claims.0`, `claims.1`, … and what comes in there.
    pub(super) inputs: Vec<(String, Vec<InputMember>)>,
    /// The axis fields that the statistics read.
    pub(super) axis_reads: BTreeSet<(String, String)>,
}

impl Checker<'_> {
    /// Compiles the claims, for the stage that owns them.
    pub(super) fn own_claims(&mut self, schemas: &mut BTreeMap<String, InputSchema>) -> OwnClaims {
        let declared = self.declarations;
        let mut own = OwnClaims::default();
        let mut ports: BTreeMap<usize, String> = BTreeMap::new();
        let mut claims = Vec::new();
        for claim in &declared.claims {
            let mut record = fields(claim);
            if let (Some(table), Some(statistic)) = (&claim.table, &claim.statistic) {
                let Some(&stage) = self.by_name.get(&table.text) else {
                    self.unknown_table(claim);
                    continue;
                };
                let Some(port) = table_port(&self.stages[stage]) else {
                    self.problems.push(Diagnostic::new(
                        Code::BadClaim,
                        format!("the stage `{}` puts out no table", table.text),
                        &table.place,
                        "a claim is about a table",
                    ));
                    continue;
                };
                let seen = self.seen_schema(stage, port);
                let compiled = expression::statistic(
                    self.sources,
                    statistic,
                    &seen.schema,
                    &mut self.problems,
                );
                let Some((expr, checked)) = compiled else {
                    continue;
                };
                own.axis_reads.extend(checked.axis_reads);
                let name = ports.entry(stage).or_insert_with(|| {
                    let name = format!("claims.{}", own.inputs.len());
                    let tasks = self.stages[stage].tasks.clone();
                    own.inputs
                        .push((name.clone(), super::stage::task_members(tasks, port)));
                    name
                });
                record.insert("port".to_owned(), Value::Text(name.clone()));
                record.insert("statistic".to_owned(), Value::Text(expr.to_string()));
                record.insert("volatile".to_owned(), Value::Bool(seen.volatile));
                schemas.insert(name.clone(), seen);
            }
            claims.push(Value::Record(record));
        }
        own.value = Value::Record(
            [
                ("list".to_owned(), Value::List(claims)),
                ("corpora".to_owned(), self.corpora()),
            ]
            .into(),
        );
        own
    }

    /// The corpora that the experiment runs on: a claim about another corpus is shown, not compared.
    fn corpora(&self) -> Value {
        let names: BTreeSet<&String> = self
            .axes
            .axes
            .iter()
            .filter_map(|axis| axis.corpus.as_ref())
            .collect();
        Value::List(names.into_iter().cloned().map(Value::Text).collect())
    }

    fn unknown_table(&mut self, claim: &ClaimDecl) {
        let Some(table) = &claim.table else { return };
        let exists = self.stage_names().any(|name| name == table.text);
        if !exists {
            let suggestion = llmcl_stages_api::suggest::closest(&table.text, self.stage_names())
                .map(str::to_owned);
            self.problems.push(
                Diagnostic::new(
                    Code::UnknownStage,
                    format!("unknown stage `{}`", table.text),
                    &table.place,
                    "no stage has this name",
                )
                .also(&claim.place, "this claim is about its table")
                .did_you_mean(suggestion.as_deref()),
            );
        }
    }

    /// Claims need exactly one stage that owns them.
    pub(super) fn check_claims(&mut self) {
        let owners: Vec<&Built> = self
            .stages
            .iter()
            .filter(|built| {
                let kind = built.stage.as_ref().map(|stage| stage.kind);
                kind.is_some_and(StageKind::owns_claims)
            })
            .collect();
        if let [first, second, ..] = owners[..] {
            let first = &self.declaration(first.declaration).name;
            let second = &self.declaration(second.declaration).name;
            let problem = Diagnostic::new(
                Code::BadClaim,
                "an experiment has one verdict",
                &second.place,
                "another one",
            )
            .also(&first.place, "the first one");
            self.problems.push(problem);
        }
        let unknown_kinds = self.stages.iter().any(|built| built.stage.is_none());
        if let Some(claim) = self.declarations.claims.first()
            && owners.is_empty()
            && !unknown_kinds
        {
            let problem = Diagnostic::new(
                Code::BadClaim,
                "there are claims, and no verdict that holds them against the figures",
                &claim.place,
                "the first claim",
            )
            .help("add a stage of kind `verdict`");
            self.problems.push(problem);
        }
    }
}

fn table_port(built: &Built) -> Option<usize> {
    built
        .outputs
        .iter()
        .position(|output| output.ty.fits(PortType::Table))
}

fn fields(claim: &ClaimDecl) -> BTreeMap<String, Value> {
    let text = |value: &Option<String>| value.clone().map_or(Value::None, Value::Text);
    let number = |value: Option<f64>| value.and_then(Value::float).unwrap_or_default();
    [
        ("name", Value::Text(claim.name.clone())),
        ("source", text(&claim.source)),
        ("published", number(claim.published)),
        ("tolerance", number(claim.tolerance)),
        ("corpus", text(&claim.corpus)),
        ("status", text(&claim.status)),
        ("reason", text(&claim.reason)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
