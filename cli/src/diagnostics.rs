//! How mistakes look on a terminal.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use llmcl_engine::check::Mistakes;
use llmcl_engine::diagnostic::Diagnostic;
use llmcl_engine::source::{FileId, Sources};

/// How many mistakes are shown; a file with more has something else wrong with it.
const SHOWN: usize = 100;

/// Renders the mistakes of an experiment, and a line that counts them.
pub(crate) fn render(mistakes: &Mistakes) -> String {
    let mut text = String::new();
    for problem in mistakes.problems.iter().take(SHOWN) {
        text.push_str(&render_one(problem, &mistakes.sources));
        text.push_str("\n\n");
    }
    let count = mistakes.problems.len();
    let codes = || mistakes.problems.iter().map(|problem| problem.code.text());
    let first = codes().next().unwrap_or_default();
    let plural = if count == 1 { "" } else { "s" };
    if count > SHOWN {
        text.push_str(&format!("… and {} more\n\n", count - SHOWN));
    }
    text.push_str(&format!(
        "error: {count} mistake{plural}; `llmcl help {first}` explains {}\n",
        if codes().all(|code| code == first) {
            "it"
        } else {
            "the first code"
        }
    ));
    text
}

fn render_one(problem: &Diagnostic, sources: &Sources) -> String {
    let mut group = Group::with_title(
        Level::ERROR
            .primary_title(&problem.message)
            .id(problem.code.text()),
    );
    // One snippet for each file, the one with the main place first.
    let mut files: Vec<FileId> = Vec::new();
    for label in &problem.labels {
        if !files.contains(&label.place.file) {
            files.push(label.place.file);
        }
    }
    for file in files {
        let source = sources.file(file);
        if source.text.is_empty() {
            group = group.element(Origin::path(&source.name));
            continue;
        }
        let annotations = problem
            .labels
            .iter()
            .enumerate()
            .filter(|(_, label)| label.place.file == file)
            .map(|(index, label)| {
                let kind = if index == 0 {
                    AnnotationKind::Primary
                } else {
                    AnnotationKind::Context
                };
                let end = label.place.end.min(source.text.len());
                let start = label.place.start.min(end);
                kind.span(start..end)
                    .label((!label.text.is_empty()).then_some(label.text.as_str()))
            });
        group = group.element(
            Snippet::source(&source.text)
                .path(&source.name)
                .annotations(annotations),
        );
    }
    for help in &problem.help {
        group = group.element(Level::HELP.message(help));
    }
    Renderer::styled()
        .decor_style(DecorStyle::Ascii)
        .render(&[group])
}
