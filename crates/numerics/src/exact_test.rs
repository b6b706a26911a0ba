//! Fisher's exact test of a table with two rows and two columns, by the hypergeometric distribution.

use libm::lgamma;

/// Returns the probability that at least `hits` of `marked` items are among `drawn` items that are
/// drawn without replacement from `total` items: the one-sided p-value of Fisher's exact test.
///
/// NaN if there are more marked or drawn items than items.
#[must_use]
pub fn at_least(hits: usize, drawn: usize, marked: usize, total: usize) -> f64 {
    if drawn > total || marked > total {
        return f64::NAN;
    }
    let all = ln_choose(total, drawn);
    // More hits than this would need more unmarked items than there are.
    let fewest = (drawn + marked).saturating_sub(total).max(hits);
    if hits <= (drawn + marked).saturating_sub(total) {
        return 1.0;
    }
    let terms = (fewest..=drawn.min(marked)).map(|count| {
        let ways = ln_choose(marked, count) + ln_choose(total - marked, drawn - count);
        (ways - all).exp()
    });
    terms.sum::<f64>().min(1.0)
}

/// Returns the logarithm of the number of ways to choose `count` of `total` items.
fn ln_choose(total: usize, count: usize) -> f64 {
    let ln_factorial = |number: usize| lgamma(number as f64 + 1.0);
    ln_factorial(total) - ln_factorial(count) - ln_factorial(total - count)
}

#[cfg(test)]
mod tests {
    use super::at_least;

    /// `scipy.stats.hypergeom.sf(hits - 1, total, marked, drawn)` of SciPy 1.17.1.
    #[test]
    fn the_tail_is_that_of_scipy() {
        for (hits, drawn, marked, total, expected) in [
            (9, 10, 20, 100, 7.869042453734031e-07),
            (4, 4, 7, 30, 0.0012771392081736908),
            (0, 3, 3, 9, 1.0),
            (60, 80, 700, 5000, 1.4252749283552762e-35),
        ] {
            let actual = at_least(hits, drawn, marked, total);
            assert!(
                (actual / expected - 1.0_f64).abs() < 1e-9,
                "{hits} {drawn} {marked} {total}: {actual} is not {expected}"
            );
        }
        assert!(at_least(1, 4, 1, 3).is_nan());
    }
}
