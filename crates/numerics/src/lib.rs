//! Numerical and statistical functions without side effects. The tests check each against published
//! values or those of SciPy.

pub mod bootstrap;
pub mod cholesky;
pub mod eigen;
pub mod exact_test;
pub mod exp;
pub mod fanova;
pub mod forest;
pub mod hypervolume;
pub mod lbfgs;
pub mod normal;
pub mod pareto;
pub mod rank_correlation;
pub mod rank_test;
pub mod sample;
pub mod sobol;
pub mod stream;
pub mod student;
pub mod yeo_johnson;
