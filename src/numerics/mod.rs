//! Pure mathematics, each function checked against published or SciPy values.

pub mod stream;
