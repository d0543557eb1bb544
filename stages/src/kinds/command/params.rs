//! The parameters of `command`.

use llmcl_stages_api::param::{Param, ParamType, Scalar};

pub(super) const ARGV: &str = "argv";
pub(super) const ENV: &str = "env";
pub(super) const PROGRAMS: &str = "programs";
pub(super) const OUTPUTS: &str = "outputs";
pub(super) const TIME_LIMIT: &str = "time_limit";
pub(super) const RETRIES: &str = "retries";
pub(super) const MEMORY: &str = "memory";

/// The parameters.
pub(super) const PARAMS: &[Param] = &[
    Param::required(
        ARGV,
        ParamType::List(&ParamType::Text),
        "The program and its arguments. A bare name is looked for in `PATH`; a relative path is an input's.",
    ),
    Param::optional(
        ENV,
        ParamType::Map(&ParamType::Text),
        "Environment variables beside PATH, HOME, TMPDIR, LANG and TZ, which it may replace.",
    ),
    Param::optional(
        PROGRAMS,
        ParamType::List(&ParamType::Text),
        "Other programs that it calls: a change of theirs runs the task again, as a change of the program itself.",
    ),
    Param::required(
        OUTPUTS,
        ParamType::Map(&ParamType::Record(OUTPUT)),
        "The output ports by name, and what file of the working folder each takes.",
    ),
    Param::optional(
        TIME_LIMIT,
        ParamType::Int {
            min: 1,
            max: 31_536_000,
        },
        "After how many seconds it is stopped.",
    )
    .not_in_key(),
    Param::with_default(
        RETRIES,
        ParamType::Int { min: 0, max: 100 },
        Scalar::Int(0),
        "How often it is run again after it failed.",
    )
    .not_in_key(),
    Param::with_default(
        MEMORY,
        ParamType::Int {
            min: 0,
            max: 1 << 50,
        },
        Scalar::Int(256 << 20),
        "How many bytes of memory it needs, for the scheduler.",
    )
    .not_in_key(),
];

/// The fields of an output.
const OUTPUT: &[Param] = &[
    Param::required(
        "path",
        ParamType::Text,
        "The file, or the folder with all files in it, relative to the working folder.",
    ),
    Param::with_default(
        "type",
        ParamType::Choice(&["file", "table", "profile", "encoded", "report"]),
        Scalar::Text("file"),
        "What it is.",
    ),
    Param::optional(
        "columns",
        ParamType::Map(&ParamType::Choice(&["bool", "int", "float", "text"])),
        "The columns of a table, whose file is JSON Lines.",
    ),
    Param::with_default(
        "may_be_empty",
        ParamType::Bool,
        Scalar::Bool(false),
        "Whether an empty file, or a table without rows, is no error.",
    ),
];
