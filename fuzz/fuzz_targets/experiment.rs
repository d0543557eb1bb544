//! Any text is an experiment file, or has mistakes with places that lie in it.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use llmcl_engine::check;
use llmcl_stages_api::registry::Registry;

static REGISTRY: LazyLock<Registry> = LazyLock::new(llmcl_stages::registry);

fuzz_target!(|text: &str| {
    let path = Path::new("../experiments/fuzzed.toml");
    if let Err(mistakes) = check::load_text(path, text.to_owned(), &[], &REGISTRY) {
        assert!(!mistakes.problems.is_empty());
        for label in mistakes.problems.iter().flat_map(|problem| &problem.labels) {
            let text = &mistakes.sources.file(label.place.file).text;
            assert!(text.get(label.place.start..label.place.end).is_some());
        }
    }
});
