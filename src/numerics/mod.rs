//! Pure mathematics, each function checked against published or SciPy values.

<<<<<<< HEAD
pub mod cholesky;
pub mod exp;
pub mod lbfgs;
pub mod normal;
pub mod sobol;
=======
pub mod normal;
>>>>>>> h1
pub mod stream;
