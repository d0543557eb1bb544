//! Any text is an expression that prints and parses to itself, or has mistakes with places that lie in it.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use llmcl_stages_api::expr::{self, Mode, Scope};
use llmcl_stages_api::table::{Column, Schema};
use llmcl_stages_api::value::Type;

fuzz_target!(|text: &str| {
    let errors = match expr::parse(text) {
        Ok(expr) => {
            let printed = expr.to_string();
            let again = expr::parse(&printed).expect("what was printed can be read");
            assert_eq!(again.to_string(), printed);
            let schema = Schema::new([
                Column::new("ratio", Type::Float, ""),
                Column::new("dtype", Type::Text, ""),
                Column::new("roundtrip", Type::Bool, ""),
            ]);
            let scope = Scope {
                mode: Mode::Aggregate,
                variables: BTreeMap::from([("model".to_owned(), Type::Text)]),
                tables: vec![("rows".to_owned(), &schema)],
            };
            expr::check(&expr, &scope).err().unwrap_or_default()
        }
        Err(errors) => errors,
    };
    for error in errors {
        assert!(text.get(error.span.clone()).is_some(), "{error}");
    }
});
