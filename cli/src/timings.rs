//! Where the time of a run went, as people read it.

use std::fmt::Write;

use llmcl_engine::events::Phase;
use llmcl_engine::timings::{Report, Sum, TaskTime};
use serde_json::{Value, json};

/// So many of the longest tasks are named.
pub(crate) const LONGEST: usize = 10;
/// So many steps of the critical path are shown at its end.
const STEPS: usize = 20;

/// The parts of a task's time, as [`llmcl_engine::events::Spent::parts`] names them.
const PARTS: [&str; 7] = [
    "prepare", "lock", "look", "import", "retries", "work", "record",
];

/// The report. `end_us` is what came after the run's last event, if that is known.
pub(crate) fn render(report: &Report, end_us: Option<u64>) -> String {
    let whole = report.whole_us.saturating_add(end_us.unwrap_or_default());
    let mut text = format!("{} in all\n", time(whole));
    for (phase, took) in &report.phases {
        let _ = writeln!(
            text,
            "  {:>9}  {:9}  {}",
            time(*took),
            phase.name(),
            describe(*phase)
        );
    }
    let _ = writeln!(
        text,
        "  {:>9}  {:9}  between the phases, and after the last",
        time(report.other_us),
        "other"
    );
    if let Some(end) = end_us {
        let _ = writeln!(
            text,
            "  {:>9}  {:9}  end the run; flush its log, if it has one",
            time(end),
            "end"
        );
    }
    if report.without_slot > 0 {
        let _ = writeln!(
            text,
            "{} tasks were done without running",
            report.without_slot
        );
    }
    if report.all.tasks == 0 {
        return text;
    }
    text.push_str(&slots(report));
    text.push_str(&stages(report));
    let _ = writeln!(text, "the longest tasks:");
    for task in &report.longest {
        let _ = writeln!(text, "  {}", line(task));
    }
    let _ = writeln!(
        text,
        "the critical path, of {}: each task waited last for the one before it",
        count(report.critical.len(), "task")
    );
    if report.critical.len() > STEPS {
        let _ = writeln!(text, "  … the last {STEPS}:");
    }
    for task in &report.critical[report.critical.len().saturating_sub(STEPS)..] {
        let _ = writeln!(text, "  {}", line(task));
    }
    text
}

fn describe(phase: Phase) -> &'static str {
    match phase {
        Phase::Recall => "hold what the last run saw against what there is",
        Phase::Check => "read and check the experiment",
        Phase::Open => "open the store and read its records",
        Phase::Plan => "look each task up",
        Phase::Prepare => "make the graph, guess how long each path takes",
        Phase::TakeOver => "take over what is done or ruled out",
        Phase::Tasks => "run tasks",
    }
}

fn slots(report: &Report) -> String {
    let tasks = report
        .phases
        .iter()
        .find(|(phase, _)| *phase == Phase::Tasks);
    let there = tasks
        .map_or(0, |(_, took)| *took)
        .saturating_mul(report.jobs as u64);
    let work = report.all.parts[5];
    format!(
        "{} of {}: busy {}, at work {}\n",
        count(report.jobs, "slot"),
        time(there / (report.jobs.max(1) as u64)),
        percent(report.all.slot_us, there),
        percent(work, there),
    )
}

fn stages(report: &Report) -> String {
    let mut rows = vec![heading()];
    rows.extend(report.stages.iter().map(|(stage, sum)| row(stage, sum)));
    if report.stages.len() > 1 {
        rows.push(row("all", &report.all));
    }
    // A column that says nothing is left out.
    let says = |column: usize| column < 3 || rows[1..].iter().any(|row| row[column] != "–");
    let columns: Vec<usize> = (0..rows[0].len()).filter(|column| says(*column)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = columns
        .iter()
        .map(|column| width(*column).unwrap_or_default())
        .collect();
    let mut text = String::new();
    for row in &rows {
        for (at, (column, width)) in columns.iter().zip(&widths).enumerate() {
            let _ = match at {
                0 => write!(text, "  {:width$}", row[*column]),
                _ => write!(text, "  {:>width$}", row[*column]),
            };
        }
        text.push('\n');
    }
    text
}

fn heading() -> Vec<String> {
    let names = ["stage", "tasks", "in slot", "queue"].into_iter();
    let names = names.chain(PARTS).chain(["tell", "(publish)", "(flush)"]);
    names.map(str::to_owned).collect()
}

fn row(stage: &str, sum: &Sum) -> Vec<String> {
    let shown = |us: u64| if us == 0 { "–".to_owned() } else { time(us) };
    let mut row = vec![stage.to_owned(), sum.tasks.to_string()];
    row.extend([sum.slot_us, sum.queue_us].map(shown));
    row.extend(sum.parts.map(shown));
    row.extend([sum.telling_us, sum.publish_us, sum.flush_us].map(shown));
    row
}

fn line(task: &TaskTime) -> String {
    let mut text = format!("{:>9}  {}", time(task.slot_us()), task.task);
    let mut parts: Vec<(&str, u64)> = task.spent.parts().to_vec();
    parts.insert(0, ("queue", task.spent.queue_us));
    let least = task.slot_us() / 100;
    let shown: Vec<String> = parts
        .iter()
        .filter(|(_, took)| *took > least)
        .map(|(name, took)| format!("{name} {}", time(*took)))
        .collect();
    if !shown.is_empty() {
        let _ = write!(text, "  {}", shown.join(", "));
    }
    text
}

fn count(number: usize, word: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {word}{s}")
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "–".to_owned(),
        _ => format!("{} %", u128::from(part) * 100 / u128::from(whole)),
    }
}

/// A time in microseconds: `17µs`, `1.23ms`, `345ms`, `3.42s`, `1m 02s`.
pub(crate) fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}µs"),
        1_000..100_000 => format!("{}.{:02}ms", us / 1_000, us / 10 % 100),
        _ => crate::size::duration(std::time::Duration::from_micros(us)),
    }
}

/// The report, for programs.
pub(crate) fn json(report: &Report) -> Value {
    let tasks = |tasks: &[TaskTime]| -> Vec<Value> {
        let tasks = tasks.iter();
        tasks
            .map(|task| json!({ "task": task.task, "told": task.told, "spent": task.spent }))
            .collect()
    };
    let stages: Vec<Value> = report
        .stages
        .iter()
        .map(|(stage, one)| sum(stage, one))
        .collect();
    let phases: Vec<Value> = report
        .phases
        .iter()
        .map(|(phase, took)| json!({ "phase": phase, "took_us": took }))
        .collect();
    json!({
        "whole_us": report.whole_us,
        "phases": phases,
        "other_us": report.other_us,
        "jobs": report.jobs,
        "without_slot": report.without_slot,
        "all": sum("all", &report.all),
        "stages": stages,
        "longest": tasks(&report.longest),
        "critical": tasks(&report.critical),
    })
}

fn sum(name: &str, sum: &Sum) -> Value {
    let mut value = json!({
        "name": name,
        "tasks": sum.tasks,
        "slot_us": sum.slot_us,
        "queue_us": sum.queue_us,
        "publish_us": sum.publish_us,
        "tell_us": sum.telling_us,
        "flush_us": sum.flush_us,
    });
    for (part, us) in PARTS.iter().zip(sum.parts) {
        value[format!("{part}_us")] = us.into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_what_says_something() {
        assert_eq!(time(17), "17µs");
        assert_eq!(time(1_239), "1.23ms");
        assert_eq!(time(99_999), "99.99ms");
        assert_eq!(time(345_678), "345ms");
        assert_eq!(time(3_420_000), "3.42s");
    }

    #[test]
    fn the_parts_are_those_of_the_stream() {
        let parts = llmcl_engine::events::Spent::default().parts();
        assert_eq!(parts.map(|(name, _)| name), PARTS);
    }
}
