//! Rank correlation: Spearman's coefficient for two quantities, and the correlation ratio of ranks
//! for categories.

/// Returns the ranks of values, from 1; equal values share the mean of their ranks.
#[must_use]
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        // At least one, because NaN is not even equal to itself.
        let ties = order[from..]
            .iter()
            .take_while(|index| values[**index] == values[order[from]])
            .count()
            .max(1);
        let rank = from as f64 + (ties as f64 + 1.0) / 2.0;
        for index in &order[from..from + ties] {
            ranks[*index] = rank;
        }
        from += ties;
    }
    ranks
}

/// Returns Spearman's rank correlation in [−1, 1]. Returns `None` if one of the two does not vary,
/// if their lengths differ, or for fewer than three values.
#[must_use]
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    let (x, y) = (ranks(x), ranks(y));
    if x.len() < 3 || x.len() != y.len() {
        return None;
    }
    let mean = (x.len() as f64 + 1.0) / 2.0;
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(&y) {
        (xx, yy, xy) = (
            xx + (x - mean).powi(2),
            yy + (y - mean).powi(2),
            xy + (x - mean) * (y - mean),
        );
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

/// Returns the correlation ratio η in [0, 1]: the square root of the share of the variance of the
/// ranks of `y` that lies between categories. Returns `None` if `y` does not vary, for a single
/// category, if the lengths differ, or for fewer than three values.
#[must_use]
pub fn ratio(category: &[f64], y: &[f64]) -> Option<f64> {
    let y = ranks(y);
    if y.len() < 3 || y.len() != category.len() {
        return None;
    }
    let mean = (y.len() as f64 + 1.0) / 2.0;
    let mut groups: Vec<(f64, f64, f64)> = Vec::new();
    for (category, y) in category.iter().zip(&y) {
        match groups.iter_mut().find(|group| group.0 == *category) {
            Some(group) => (group.1, group.2) = (group.1 + y, group.2 + 1.0),
            None => groups.push((*category, *y, 1.0)),
        }
    }
    let total: f64 = y.iter().map(|y| (y - mean).powi(2)).sum();
    let between: f64 = groups
        .iter()
        .map(|(_, sum, count)| count * (sum / count - mean).powi(2))
        .sum();
    (total > 0.0 && groups.len() > 1).then(|| (between / total).sqrt().min(1.0))
}

#[cfg(test)]
mod tests {
    use super::{ranks, ratio, spearman};

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert_eq!(ranks(&[]), [0.0; 0]);
    }

    #[test]
    fn the_rank_correlation_is_that_of_scipy() {
        // scipy.stats.spearmanr([1,2,2,4,7,3],[2,1,5,4,9,3]) of SciPy 1.17.1
        let correlation = spearman(
            &[1.0, 2.0, 2.0, 4.0, 7.0, 3.0],
            &[2.0, 1.0, 5.0, 4.0, 9.0, 3.0],
        )
        .unwrap();
        assert!((correlation - SCIPY).abs() < 1e-12, "{correlation}");
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
    }

    /// The value of SciPy for the test above.
    const SCIPY: f64 = 0.666_736_691_000_315_7;

    /// The square root of `H / (n - 1)` with `scipy.stats.kruskal` of SciPy 1.17.1 over these three
    /// groups, which have ties.
    #[test]
    fn the_ratio_is_that_of_the_kruskal_wallis_test_of_scipy() {
        let ratio = super::ratio(
            &[0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 2.0],
            &[2.0, 1.0, 5.0, 4.0, 9.0, 3.0, 4.0],
        )
        .unwrap();
        assert!((ratio - 0.802_458_344_052_445_4).abs() < 1e-12, "{ratio}");
    }

    #[test]
    fn categories_that_determine_the_ranks_have_a_ratio_of_one() {
        assert_eq!(
            ratio(&[0.0, 0.0, 1.0, 1.0], &[1.0, 1.0, 5.0, 5.0]),
            Some(1.0)
        );
        assert_eq!(
            ratio(&[0.0, 1.0, 0.0, 1.0], &[1.0, 1.0, 5.0, 5.0]),
            Some(0.0)
        );
    }
}
