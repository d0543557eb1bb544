//! `when`: which gates a stage asks, and which task of each.

use std::collections::HashMap;

use llmcl_stages_api::expr::{self, Expr};
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::suggest::closest;
use llmcl_stages_api::value::Type;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::expression;
use crate::model::{AxisId, StageId, TaskId, When};
use crate::source::Place;

use super::Checker;

/// The gates that a stage asks for.
#[derive(Default)]
pub(super) struct Gates {
    condition: Option<(Expr, Place)>,
    gates: Vec<Gate>,
}

struct Gate {
    name: String,
    stage: StageId,
    /// For each axis of the gate our position of the same axis.
    positions: Vec<usize>,
    tasks: HashMap<Vec<usize>, TaskId>,
}

impl Gates {
    /// The condition, as the engine asks it later.
    pub(super) fn when(&self) -> Option<When> {
        let (condition, place) = self.condition.clone()?;
        let gates = self.gates.iter();
        Some(When {
            condition,
            gates: gates.map(|gate| (gate.name.clone(), gate.stage)).collect(),
            place,
        })
    }

    /// The gate tasks that the task with these values asks; nothing if one of them does not exist.
    pub(super) fn tasks(&self, values: &[usize]) -> Option<Vec<TaskId>> {
        self.gates
            .iter()
            .map(|gate| {
                let key: Vec<usize> = gate.positions.iter().map(|&at| values[at]).collect();
                gate.tasks.get(&key).copied()
            })
            .collect()
    }
}

impl Checker<'_> {
    /// Finds the gates that the `when` of a stage names.
    pub(super) fn resolve_gates(&mut self, declaration: usize, each: &[AxisId]) -> Gates {
        let declared = self.declarations;
        let decl = &declared.stages[declaration];
        let Some(when) = &decl.when else {
            return Gates::default();
        };
        let mut variables = self.axis_types(each);
        let mut gates = Vec::new();
        let mut asked = false;
        if let Ok(expr) = expr::parse(when.as_text().unwrap_or_default()) {
            for name in expr.free_names() {
                if variables.contains_key(&name) {
                    continue;
                }
                asked = true;
                // Whatever is wrong with the name is reported once, here and not by the expression.
                variables.insert(name.clone(), Type::Any);
                if let Some(gate) = self.gate(&name, &when.place, each) {
                    variables.insert(name, Type::Text);
                    gates.push(gate);
                }
            }
        }
        let before = self.problems.len();
        let compiled = expression::condition(self.sources, when, variables, &mut self.problems);
        if gates.is_empty() && self.problems.len() == before && !asked {
            self.problems.push(
                Diagnostic::new(
                    Code::NotAGate,
                    "this `when` asks no gate",
                    &when.place,
                    "known before anything runs",
                )
                .help("write it as `where`: such tasks then do not exist"),
            );
        }
        Gates {
            condition: compiled.map(|(expr, _)| (expr, when.place.clone())),
            gates,
        }
    }

    fn gate(&mut self, name: &str, place: &Place, each: &[AxisId]) -> Option<Gate> {
        let Some(&stage) = self.by_name.get(name) else {
            let axes = self.axes.axes.iter().map(|axis| axis.name.as_str());
            let problem = if axes.clone().any(|axis| axis == name) {
                Diagnostic::new(
                    Code::NotAGate,
                    format!("this stage is not repeated over the axis `{name}`"),
                    place,
                    "",
                )
                .help("a `when` may use gates and the stage's own axes")
            } else {
                Diagnostic::new(
                    Code::NotAGate,
                    format!("`{name}` is neither a gate nor an axis of this stage"),
                    place,
                    "",
                )
                .did_you_mean(closest(name, self.stage_names().chain(axes)))
            };
            self.problems.push(problem);
            return None;
        };
        let built = &self.stages[stage];
        let output = built.outputs.first()?;
        if !output.ty.fits(PortType::Outcome) {
            let gate_name = &self.declaration(built.declaration).name;
            let problem = Diagnostic::new(
                Code::NotAGate,
                format!("the stage `{name}` is not a gate: it has no outcome"),
                place,
                "asked for an outcome here",
            )
            .also(&gate_name.place, "this stage");
            self.problems.push(problem);
            return None;
        }
        let mut positions = Vec::new();
        for axis in built.each.clone() {
            match each.iter().position(|own| *own == axis) {
                Some(position) => positions.push(position),
                None => {
                    let axis = &self.axes.axes[axis].name;
                    let gate_name = &self.declaration(self.stages[stage].declaration).name;
                    let problem = Diagnostic::new(
                        Code::GateAxis,
                        format!(
                            "the gate `{name}` has an outcome for each `{axis}`, and this stage is not repeated over it"
                        ),
                        place,
                        "which outcome is meant?",
                    )
                    .also(&gate_name.place, format!("repeated over `{axis}`"))
                    .help(format!("add \"{axis}\" to this stage's `each`, or gather the gate's rows in a gate without it"));
                    self.problems.push(problem);
                    return None;
                }
            }
        }
        let tasks = self.stages[stage]
            .tasks
            .clone()
            .map(|task| (self.tasks[task].values.clone(), task))
            .collect();
        Some(Gate {
            name: name.to_owned(),
            stage,
            positions,
            tasks,
        })
    }
}
