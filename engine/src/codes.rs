//! The codes of mistakes, and the page of each.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Which sort of mistake a diagnostic is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The code as it is printed: `E0103`.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// The page that explains it, in Markdown.
            #[must_use]
            pub fn page(self) -> &'static str {
                match self {
                    $(Code::$name => include_str!(concat!("../../docs/errors/", $text, ".md")),)*
                }
            }
        }
    };
}

codes! {
    /// The file is not TOML.
    Syntax = "E0101",
    /// A key that is not known here.
    UnknownKey = "E0102",
    /// A stage that is not in the file.
    UnknownStage = "E0103",
    /// A stage kind that does not exist.
    UnknownKind = "E0104",
    /// An axis that is not in the file.
    UnknownAxis = "E0105",
    /// A field that no value of the axis has.
    UnknownField = "E0106",
    /// A column that the table lacks.
    UnknownColumn = "E0107",
    /// A method that does not exist.
    UnknownMethod = "E0108",
    /// A value of the wrong type.
    WrongType = "E0109",
    /// A key that must be there is missing.
    MissingKey = "E0110",
    /// A name that cannot be one, or that is taken.
    BadName = "E0111",
    /// A port that the kind does not have.
    UnknownPort = "E0112",
    /// A port of another type.
    WrongPort = "E0113",
    /// Many artifacts where a port takes one.
    TooMany = "E0114",
    /// A gate with an axis that the asking stage lacks.
    GateAxis = "E0115",
    /// Stages that hang on one another in a ring.
    Cycle = "E0116",
    /// A gathered input with nothing in it.
    EmptyGather = "E0117",
    /// A stage of which no task exists.
    NoTasks = "E0118",
    /// A profile that has seen what it is tested on.
    Leak = "E0119",
    /// An expression that cannot be read.
    ExpressionSyntax = "E0120",
    /// An expression whose parts do not go together.
    ExpressionType = "E0121",
    /// A speed where only what repeats may be read.
    Volatile = "E0122",
    /// Something in a `when` that is neither a gate nor an axis of the stage.
    NotAGate = "E0123",
    /// A value that is not allowed.
    BadValue = "E0124",
    /// A `map` that joins what is not there.
    BadMap = "E0125",
    /// An input that the kind needs.
    MissingInput = "E0126",
    /// Claims without their verdict.
    BadClaim = "E0127",
    /// A `--set` that cannot be applied.
    BadSet = "E0128",
    /// A stage that cannot report what was pruned.
    CannotReport = "E0129",
    /// A method without the profile that it needs.
    MissingProfile = "E0130",
    /// A name in an expression that nothing has.
    UnknownName = "E0131",
    /// A file that is not there.
    MissingFile = "E0132",
}

impl Code {
    /// Finds a code by its text, whatever the case.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.text().eq_ignore_ascii_case(text))
    }
}
