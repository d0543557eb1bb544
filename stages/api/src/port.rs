//! Ports: what a stage kind takes in and puts out.

/// The type of what goes through a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortType {
    /// A file or a folder as it came from outside.
    File,
    /// A tensor set: names, dtypes, shapes, and where the bytes are.
    Tensors,
    /// A table.
    Table,
    /// The outcome of a gate.
    Outcome,
    /// What a method encoded.
    Encoded,
    /// What a method has learnt.
    Profile,
    /// A document for people.
    Report,
    /// Not known before the kind exists: goes with everything.
    Any,
}

impl PortType {
    /// The word for it in messages, files and docs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Tensors => "tensors",
            Self::Table => "table",
            Self::Outcome => "outcome",
            Self::Encoded => "encoded",
            Self::Profile => "profile",
            Self::Report => "report",
            Self::Any => "any",
        }
    }

    /// Tells whether an output of this type may go into an input of type `input`.
    #[must_use]
    pub fn fits(self, input: Self) -> bool {
        self == input || self == Self::Any || input == Self::Any
    }
}

/// How many artifacts a port takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one, or none if the port is optional.
    One,
    /// A gathered list, in the order of the axis values.
    Many,
}

/// An input port of a stage kind.
#[derive(Debug, Clone, Copy)]
pub struct InputPort {
    /// The key under `inputs`.
    pub name: &'static str,
    /// What it takes.
    pub ty: PortType,
    /// How many.
    pub arity: Arity,
    /// Whether a task without it is an error.
    pub required: bool,
    /// One sentence for the schema and the docs.
    pub about: &'static str,
}

/// The inputs of a stage kind.
#[derive(Debug, Clone, Copy)]
pub struct InputPorts {
    /// The ports with a fixed name.
    pub fixed: &'static [InputPort],
    /// What ports the user may name freely, beside the fixed ones: the `name` of it is a placeholder.
    pub open: Option<InputPort>,
    /// Sets of port names of which exactly one must be given.
    pub one_of: &'static [&'static [&'static str]],
}

/// An output port of a stage kind. The first of a kind is the one that an input gets if it names no port.
#[derive(Debug, Clone, Copy)]
pub struct OutputPort {
    /// Its name.
    pub name: &'static str,
    /// What it puts out.
    pub ty: PortType,
    /// Whether two runs may differ: speeds. No gate, training or lock may read it.
    pub volatile: bool,
    /// One sentence for the docs.
    pub about: &'static str,
}
