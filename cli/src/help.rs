//! `llmcl help`: the pages of codes.

use clap::CommandFactory;
use llmcl_engine::codes::Code;
use llmcl_stages::api::suggest::closest;

use crate::args::Arguments;
use crate::exit::Exit;
use crate::text::{print, tell};

pub(crate) fn help(code: Option<&str>) -> Result<(), Exit> {
    let Some(text) = code else {
        let help = Arguments::command().render_help();
        let codes: Vec<String> = Code::ALL.iter().map(|code| title(*code)).collect();
        return print(&format!(
            "{help}\nCodes of mistakes, explained by `llmcl help CODE`:\n  {}\n",
            codes.join("\n  ")
        ));
    };
    match Code::find(text) {
        Some(code) => print(code.page()),
        None => {
            let known = Code::ALL.iter().map(|code| code.text());
            let hint = match closest(text, known) {
                Some(code) => format!("did you mean `{code}`?"),
                None => "`llmcl help` lists the codes".to_owned(),
            };
            tell(&format!("error: there is no code `{text}`\nhint: {hint}"));
            Err(Exit::Usage)
        }
    }
}

fn title(code: Code) -> String {
    let first = code.page().lines().next().unwrap_or_default();
    first.trim_start_matches("# ").to_owned()
}
