//! Built-in functions of the expression language.

/// A built-in function.
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

/// All functions with their names and the permitted numbers of arguments.
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
    /// Returns the function with this name, or `None` if there is none.
    pub(super) fn named(word: &str) -> Option<Self> {
        FUNCTIONS
            .iter()
            .find(|(name, ..)| *name == word)
            .map(|(_, function, _)| *function)
    }

    /// Returns the name of the function.
    pub(super) fn name(self) -> &'static str {
        FUNCTIONS
            .iter()
            .find(|(_, function, _)| *function == self)
            .map_or("", |(name, ..)| name)
    }

    /// Returns the permitted numbers of arguments.
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
