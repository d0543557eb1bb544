//! What hangs on what, and in which order stages are built.

use std::collections::{BTreeMap, BTreeSet};

use llmcl_stages_api::expr;
use llmcl_stages_api::suggest::closest;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::experiment::{ElementSource, StageDecl};
use crate::source::Place;

use super::Checker;

/// The order in which stages are built: each after all that it hangs on, else as in the file.
///
/// Nothing if there is a cycle, which is reported edge by edge.
pub(super) fn order(checker: &mut Checker<'_>) -> Option<Vec<usize>> {
    let stages = &checker.declarations.stages;
    let index: BTreeMap<&str, usize> = stages
        .iter()
        .enumerate()
        .map(|(index, stage)| (stage.name.text.as_str(), index))
        .collect();
    let mut graph: DiGraph<usize, Place> = DiGraph::new();
    for stage in 0..stages.len() {
        graph.add_node(stage);
    }
    let mut unknown = Vec::new();
    for (to, stage) in stages.iter().enumerate() {
        for (name, place) in references(
            stage,
            &mut |name, place| {
                unknown.push((name.to_owned(), place.clone(), to));
            },
            &index,
        ) {
            if let Some(&from) = index.get(name.as_str()) {
                graph.add_edge(NodeIndex::new(from), NodeIndex::new(to), place);
            }
        }
    }
    // The verdict reads the tables that claims name.
    for (name, place, to) in unknown {
        let suggestion = closest(&name, checker.stage_names()).map(str::to_owned);
        let by = &checker.declaration(to).name;
        checker.problems.push(
            Diagnostic::new(
                Code::UnknownStage,
                format!("unknown stage `{name}`"),
                &place,
                "no stage has this name",
            )
            .also(&by.place, "asked for by this stage")
            .did_you_mean(suggestion.as_deref()),
        );
    }
    let claimed: Vec<(usize, Place)> = checker
        .declarations
        .claims
        .iter()
        .filter_map(|claim| claim.table.as_ref())
        .filter_map(|table| Some((*index.get(table.text.as_str())?, table.place.clone())))
        .collect();
    let owners: Vec<usize> = (0..stages.len())
        .filter(|&stage| owns_claims(checker, stage))
        .collect();
    for &owner in &owners {
        for (from, place) in &claimed {
            graph.add_edge(NodeIndex::new(*from), NodeIndex::new(owner), place.clone());
        }
    }
    if report_cycles(checker, &graph) {
        return None;
    }
    Some(topological(&graph))
}

fn owns_claims(checker: &Checker<'_>, stage: usize) -> bool {
    checker
        .declaration(stage)
        .kind
        .as_ref()
        .and_then(|kind| checker.registry.kind(&kind.text))
        .is_some_and(|kind| kind.owns_claims())
}

/// The stages that a stage names, in its inputs and in its `when`.
fn references(
    stage: &StageDecl,
    unknown: &mut dyn FnMut(&str, &Place),
    index: &BTreeMap<&str, usize>,
) -> Vec<(String, Place)> {
    let mut found = Vec::new();
    for element in stage.inputs.iter().flat_map(|input| &input.elements) {
        if let ElementSource::Stages { from, .. } = &element.source {
            for name in from {
                if !index.contains_key(name.text.as_str()) {
                    unknown(&name.text, &name.place);
                }
                found.push((name.text.clone(), name.place.clone()));
            }
        }
    }
    if let Some(when) = &stage.when
        && let Ok(expr) = expr::parse(when.as_text().unwrap_or_default())
    {
        // A name in `when` that is no stage is an axis, or reported where the condition is checked.
        for name in expr.free_names() {
            found.push((name, when.place.clone()));
        }
    }
    found
}

/// Orders the stages; among those that are free, the first in the file goes first.
fn topological(graph: &DiGraph<usize, Place>) -> Vec<usize> {
    let mut waiting: Vec<usize> = graph
        .node_indices()
        .map(|node| graph.edges_directed(node, petgraph::Incoming).count())
        .collect();
    let mut free: BTreeSet<usize> = (0..waiting.len())
        .filter(|&stage| waiting[stage] == 0)
        .collect();
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(stage) = free.pop_first() {
        order.push(stage);
        for edge in graph.edges(NodeIndex::new(stage)) {
            let next = edge.target().index();
            waiting[next] -= 1;
            if waiting[next] == 0 {
                free.insert(next);
            }
        }
    }
    order
}

/// Reports each cycle once, with the place of every edge.
fn report_cycles(checker: &mut Checker<'_>, graph: &DiGraph<usize, Place>) -> bool {
    let mut found = false;
    for component in tarjan_scc(graph) {
        let Some(ring) = ring(graph, &component) else {
            continue;
        };
        found = true;
        let names: Vec<&str> = ring
            .iter()
            .map(|(stage, _)| checker.declaration(*stage).name.text.as_str())
            .collect();
        let first = names.first().copied().unwrap_or_default();
        let message = format!(
            "these stages hang on one another in a ring: {} → {first}",
            names.join(" → "),
        );
        let mut labels = ring.iter().enumerate().map(|(at, (stage, place))| {
            let name = &checker.declaration(*stage).name.text;
            let next = names
                .get((at + 1) % names.len())
                .copied()
                .unwrap_or_default();
            (place, format!("`{next}` needs `{name}`"))
        });
        let Some((place, text)) = labels.next() else {
            continue;
        };
        let problem = labels.fold(
            Diagnostic::new(Code::Cycle, message, place, text),
            |problem, (place, text)| problem.also(place, text),
        );
        checker.problems.push(problem);
    }
    found
}

/// One shortest ring through the first stage of a component, as (stage, place of the edge to the next stage).
fn ring(graph: &DiGraph<usize, Place>, component: &[NodeIndex]) -> Option<Vec<(usize, Place)>> {
    let inside: BTreeSet<NodeIndex> = component.iter().copied().collect();
    let start = *inside.first()?;
    let mut before: BTreeMap<NodeIndex, (NodeIndex, Place)> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for edge in graph.edges(node) {
            let next = edge.target();
            if !inside.contains(&next) {
                continue;
            }
            if next == start {
                let mut ring = vec![(node.index(), edge.weight().clone())];
                let mut at = node;
                while at != start {
                    let (previous, place) = before.get(&at)?.clone();
                    ring.push((previous.index(), place));
                    at = previous;
                }
                ring.reverse();
                return Some(ring);
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = before.entry(next) {
                entry.insert((node, edge.weight().clone()));
                queue.push_back(next);
            }
        }
    }
    None
}
