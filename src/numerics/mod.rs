//! Pure mathematics, each function checked against published or SciPy values.

pub mod cholesky;
pub mod exp;
pub mod fanova;
pub mod forest;
pub mod lbfgs;
pub mod normal;
pub mod rank_correlation;
pub mod sobol;
pub mod stream;
pub mod yeo_johnson;
