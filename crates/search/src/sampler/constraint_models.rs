//! Models of the outcome constraints: for each a Gaussian process over the excess of the trials,
//! which gives the probability that a point satisfies the constraint.
//!
//! Gardner et al., *Bayesian Optimization with Inequality Constraints*, ICML 2014. The bilogarithm
//! of SCBO (Eriksson & Poloczek, AISTATS 2021) magnifies small excesses and compresses large ones.
//! The prior mean is 0, the bound itself.

use super::history::{History, Outcome};
use super::kernel::Columns;
use super::surrogate::{Hyper, Posterior, Rows, fit};

/// Evaluations of the evidence in one fit. A fit starts from the hyperparameters of the last one, so
/// that few suffice.
const FIT_EVALUATIONS: usize = 12;

/// The hyperparameters of the process of each outcome constraint.
#[derive(Debug, Clone, Default)]
pub(super) struct ConstraintModels(Vec<Hyper>);

impl ConstraintModels {
    /// Fits the hyperparameters to at most `limit` rows. A constraint without any excess other than
    /// 0 keeps its old ones.
    pub(super) fn fit(&mut self, columns: &Columns, history: &History, limit: usize) {
        self.0
            .resize(history.constraint_count(), Hyper::prior(history.dims()));
        for (constraint, hyper) in self.0.iter_mut().enumerate() {
            let (rows, y) = training_rows(columns, history, constraint, limit);
            if y.iter().any(|y| *y != 0.0) {
                let (loss, fitted) = fit(&rows, &y, hyper.clone(), FIT_EVALUATIONS);
                if loss.is_finite() {
                    *hyper = fitted;
                }
            }
        }
    }

    /// Returns the posterior of each outcome constraint, given at most `limit` rows. A constraint
    /// that no row reported, or whose excess is 0 everywhere, has none.
    pub(super) fn posteriors(
        &self,
        columns: &Columns,
        history: &History,
        limit: usize,
    ) -> Vec<Posterior> {
        let prior = Hyper::prior(history.dims());
        (0..history.constraint_count())
            .filter_map(|constraint| {
                let (rows, y) = training_rows(columns, history, constraint, limit);
                let hyper = self.0.get(constraint).unwrap_or(&prior);
                // Without any excess the model would only say that the constraint is satisfied.
                if y.iter().all(|y| *y == 0.0) {
                    return None;
                }
                Posterior::new(rows, &y, hyper)
            })
            .collect()
    }
}

/// Returns the latest rows, at most `limit`, that reported the metric of outcome constraint number
/// `constraint`, and their transformed excess.
fn training_rows(
    columns: &Columns,
    history: &History,
    constraint: usize,
    limit: usize,
) -> (Rows, Vec<f64>) {
    let mut selected: Vec<(u32, f64)> = history
        .ranked()
        .iter()
        .filter_map(|(_, row)| Some((*row, reported_excess(history, *row, constraint)?)))
        .collect();
    selected.sort_unstable_by_key(|(row, _)| *row);
    selected.drain(..selected.len().saturating_sub(limit));
    let mut rows = Rows::new(&columns.list);
    for (row, _) in &selected {
        let row = history.row(*row);
        rows.push_mean(&columns.row(&row.unit, &row.active), row.seeds);
    }
    let excesses = selected.into_iter().map(|(_, excess)| excess).collect();
    (rows, bilogarithm(excesses))
}

/// Returns the excess of a row over an outcome constraint, or `None` unless the row has a score and
/// reported a finite value.
fn reported_excess(history: &History, row: u32, constraint: usize) -> Option<f64> {
    let row = history.row(row);
    let excess = row.excess.get(constraint).copied();
    excess.filter(|excess| excess.is_finite() && matches!(row.outcome, Outcome::Scored(_)))
}

/// Applies the bilogarithm: scales by the median size of the excess, then takes the logarithm on
/// both sides of 0. The sign is kept.
fn bilogarithm(excess: Vec<f64>) -> Vec<f64> {
    let mut sizes: Vec<f64> = excess.iter().map(|excess| excess.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let Some(scale) = sizes
        .get(sizes.len() / 2)
        .copied()
        .filter(|scale| *scale > 0.0)
        .or(sizes.last().copied())
    else {
        return Vec::new();
    };
    // Every excess is 0: any scale will do.
    let scale = if scale > 0.0 { scale } else { 1.0 };
    excess
        .iter()
        .map(|excess| excess.signum() * libm::log1p((excess / scale).abs().min(1e12)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::bilogarithm;

    #[test]
    fn the_transformation_keeps_the_bound_and_compresses_large_excesses() {
        let y = bilogarithm(vec![-1.0, 0.0, 1.0, 1e300]);
        assert_eq!((y[0], y[1]), (-y[2], 0.0));
        assert!(y[3] < 60.0 && y.is_sorted(), "{y:?}");
        assert!(bilogarithm(vec![0.0; 3]).iter().all(|y| *y == 0.0));
    }
}
