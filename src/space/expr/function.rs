//! The functions an expression may call.

/// A function of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Min,
    Max,
    Abs,
    Floor,
    Ceil,
    Round,
    Log,
    Log2,
    Sqrt,
    Len,
    Sum,
}

/// Every function with the numbers of arguments it takes.
const FUNCTIONS: &[(&str, Function, std::ops::RangeInclusive<usize>)] = &[
    ("min", Function::Min, 1..=64),
    ("max", Function::Max, 1..=64),
    ("abs", Function::Abs, 1..=1),
    ("floor", Function::Floor, 1..=1),
    ("ceil", Function::Ceil, 1..=1),
    ("round", Function::Round, 1..=2),
    ("log", Function::Log, 1..=2),
    ("log2", Function::Log2, 1..=1),
    ("sqrt", Function::Sqrt, 1..=1),
    ("len", Function::Len, 1..=1),
    ("sum", Function::Sum, 1..=1),
];

impl Function {
    /// Finds a function by name.
    pub(super) fn named(word: &str) -> Option<Self> {
        FUNCTIONS
            .iter()
            .find(|(name, ..)| *name == word)
            .map(|(_, function, _)| *function)
    }

    /// Returns its name.
    pub(super) fn name(self) -> &'static str {
        FUNCTIONS
            .iter()
            .find(|(_, function, _)| *function == self)
            .map_or("", |(name, ..)| name)
    }

    /// Returns how many arguments it takes.
    pub(super) fn arity(self) -> std::ops::RangeInclusive<usize> {
        FUNCTIONS
            .iter()
            .find(|(_, function, _)| *function == self)
            .map_or(1..=1, |(.., arity)| arity.clone())
    }

    /// Returns the names of all functions.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        FUNCTIONS.iter().map(|(name, ..)| *name)
    }
}
