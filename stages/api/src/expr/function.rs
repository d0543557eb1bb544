//! The functions: their names and what they take.

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    /// `has(path)`: whether there is a value.
    Has,
    /// A function of one number.
    Scalar(Scalar),
    /// A statistic over the rows of a table.
    Aggregate(Aggregate),
}

/// The functions of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Abs,
    Sqrt,
    Log2,
    Exp2,
    Round,
    Floor,
    Ceil,
}

/// The statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Count,
    Sum,
    Min,
    Max,
    Mean,
    Median,
    Geomean,
    Quantile,
    ByteWeighted,
}

impl Aggregate {
    /// How many arguments there are before the filter.
    pub(super) fn arguments(self) -> usize {
        match self {
            Self::Count => 0,
            Self::Quantile | Self::ByteWeighted => 2,
            _ => 1,
        }
    }

    /// How many arguments have a value for each row.
    pub(super) fn columns(self) -> usize {
        match self {
            Self::Quantile => 1,
            _ => self.arguments(),
        }
    }
}

/// A name, its function, and what it takes, in words.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) function: Function,
    pub(super) usage: &'static str,
}

const fn entry(name: &'static str, function: Function, usage: &'static str) -> Entry {
    Entry {
        name,
        function,
        usage,
    }
}

const NUMBER: &str = "one number";
const COLUMN: &str = "a value for each row, and maybe a filter";

/// All functions, by name.
pub(super) const FUNCTIONS: [Entry; 17] = [
    entry("abs", Function::Scalar(Scalar::Abs), NUMBER),
    entry(
        "byte_weighted",
        Function::Aggregate(Aggregate::ByteWeighted),
        "two values for each row (in, out), and maybe a filter",
    ),
    entry("ceil", Function::Scalar(Scalar::Ceil), NUMBER),
    entry(
        "count",
        Function::Aggregate(Aggregate::Count),
        "nothing, or a filter",
    ),
    entry("exp2", Function::Scalar(Scalar::Exp2), NUMBER),
    entry("floor", Function::Scalar(Scalar::Floor), NUMBER),
    entry("geomean", Function::Aggregate(Aggregate::Geomean), COLUMN),
    entry("has", Function::Has, "one name or field"),
    entry("log2", Function::Scalar(Scalar::Log2), NUMBER),
    entry("max", Function::Aggregate(Aggregate::Max), COLUMN),
    entry("mean", Function::Aggregate(Aggregate::Mean), COLUMN),
    entry("median", Function::Aggregate(Aggregate::Median), COLUMN),
    entry("min", Function::Aggregate(Aggregate::Min), COLUMN),
    entry(
        "quantile",
        Function::Aggregate(Aggregate::Quantile),
        "a value for each row, a share from 0 to 1, and maybe a filter",
    ),
    entry("round", Function::Scalar(Scalar::Round), NUMBER),
    entry("sqrt", Function::Scalar(Scalar::Sqrt), NUMBER),
    entry("sum", Function::Aggregate(Aggregate::Sum), COLUMN),
];

/// Finds a function.
pub(super) fn function(name: &str) -> Option<&'static Entry> {
    FUNCTIONS.iter().find(|entry| entry.name == name)
}

impl Function {
    /// Tells whether the function takes this many arguments.
    pub(super) fn takes(self, arguments: usize) -> bool {
        match self {
            Self::Has | Self::Scalar(_) => arguments == 1,
            Self::Aggregate(aggregate) => {
                arguments == aggregate.arguments() || arguments == aggregate.arguments() + 1
            }
        }
    }
}
