//! Models of the outcome constraints: for each a Gaussian process over the excess of the trials,
//! which gives the probability that a point satisfies the constraint.
//!
//! Gardner et al., *Bayesian Optimization with Inequality Constraints*, ICML 2014. The bilogarithm
//! of SCBO (Eriksson & Poloczek, AISTATS 2021) magnifies small excesses and compresses large ones.
//! The prior mean is 0, the bound itself.

use super::history::{Fate, History};
use super::kernel::Columns;
use super::surrogate::{Hyper, Posterior, Rows, fit};

/// The hyperparameters of the process of each outcome constraint.
#[derive(Debug, Clone, Default)]
pub(super) struct Borders(Vec<Hyper>);

impl Borders {
    /// Fits the hyperparameters to at most `limit` rows. A constraint without any excess other than
    /// 0 keeps its old ones.
    pub(super) fn fit(&mut self, columns: &Columns, history: &History, limit: usize) {
        self.0
            .resize(history.limits(), Hyper::prior(history.dims()));
        for (at, hyper) in self.0.iter_mut().enumerate() {
            let (rows, y) = known(columns, history, at, limit);
            if y.iter().any(|y| *y != 0.0) {
                let (worth, found) = fit(&rows, &y, hyper.clone(), 12);
                if worth.is_finite() {
                    *hyper = found;
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
        let of = |at: usize| {
            let (rows, y) = known(columns, history, at, limit);
            let hyper = self.0.get(at).unwrap_or(&prior);
            if y.iter().all(|y| *y == 0.0) {
                None
            } else {
                Posterior::new(rows, &y, hyper)
            }
        };
        (0..history.limits()).filter_map(of).collect()
    }
}

/// Returns the latest rows, at most `most`, that reported the metric of outcome constraint number
/// `limit`, and their reshaped excess.
fn known(columns: &Columns, history: &History, limit: usize, most: usize) -> (Rows, Vec<f64>) {
    let said = |row: &u32| {
        history
            .row(*row)
            .excess
            .get(limit)
            .copied()
            .filter(|excess| excess.is_finite())
    };
    let mut which: Vec<u32> = history
        .ranked()
        .iter()
        .map(|(_, row)| *row)
        .filter(|row| matches!(history.row(*row).fate, Fate::Scored(_)) && said(row).is_some())
        .collect();
    which.sort_unstable();
    which.drain(..which.len().saturating_sub(most));
    let mut rows = Rows::new(&columns.list);
    for row in &which {
        let row = history.row(*row);
        rows.push_mean(&columns.row(&row.unit, &row.active), row.seeds);
    }
    (rows, reshape(which.iter().filter_map(said).collect()))
}

/// Applies the bilogarithm: scales by the median size of the excess, then takes the logarithm on
/// both sides of 0. The sign is kept.
fn reshape(excess: Vec<f64>) -> Vec<f64> {
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
    use super::reshape;

    #[test]
    fn the_border_stays_where_it_is_and_what_is_far_comes_near() {
        let y = reshape(vec![-1.0, 0.0, 1.0, 1e300]);
        assert_eq!((y[0], y[1]), (-y[2], 0.0));
        assert!(y[3] < 60.0 && y.is_sorted(), "{y:?}");
        assert!(reshape(vec![0.0; 3]).iter().all(|y| *y == 0.0));
    }
}
