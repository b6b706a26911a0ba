//! Comparison of groups with a reference: the difference with its confidence interval, a test, an
//! effect size, and a verdict in words that claim no more than the test supports.

use super::group::{CONFIDENCE, Group};
use std::collections::{BTreeMap, HashMap};
use swath_model::study::Goal;
use swath_numerics::rank_test;
use swath_numerics::sample::{Difference, Sample, hedges, holm};
use swath_numerics::student;

/// Minimum number of trials, or of pairs, for a verdict.
pub const FEWEST: usize = 3;
/// Maximum number of groups for which all pairs are tested, as Holm's method needs them. More
/// groups are corrected by Bonferroni's method.
const ALL_PAIRS: usize = 64;
/// Significance level of the corrected p-values.
const SIGNIFICANT: f64 = 0.05;

/// The significance test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Welch's t-test; for pairs the paired t-test.
    T,
    /// The Mann–Whitney test; for pairs Wilcoxon's signed-rank test.
    Rank,
}

/// Rules by which groups are compared.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether small or large values of the metric are better.
    pub goal: Goal,
    /// The significance test.
    pub test: Test,
    /// Whether trials are paired where that is possible.
    pub paired: bool,
    /// Whether the user chose the reference as a baseline. If not, it was chosen for being the
    /// best.
    pub baseline: bool,
    /// Whether the reference has the best mean of all groups, including those with few trials.
    pub leads: bool,
}

/// Verdict on a group in comparison with the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The group is the reference itself.
    Reference,
    /// The mean is significantly better than that of the reference.
    Better,
    /// The mean is significantly worse than that of the reference.
    Worse,
    /// The difference is not significant.
    Unclear,
    /// There are fewer than [`FEWEST`] trials or pairs.
    TooFew,
    /// The values vary neither within the groups nor from pair to pair, although the means differ.
    /// There is no noise to compare the difference with.
    NoSpread,
    /// The means are equal and nothing varies; for pairs, every pair is equal.
    Same,
}

impl Verdict {
    /// Returns the verdict in words, as the tables show it.
    #[must_use]
    pub fn words(self, rules: &Rules) -> &'static str {
        match (self, rules.baseline, rules.goal) {
            (Self::Reference, true, _) => "baseline",
            (Self::Reference, false, _) if !rules.leads => "reference",
            (Self::Reference, false, Goal::Min) => "lowest mean",
            (Self::Reference, false, Goal::Max) => "highest mean",
            (Self::Better, ..) => "better",
            (Self::Worse, ..) => "worse",
            (Self::Unclear, ..) => "not told apart",
            (Self::TooFew, ..) => "too few to tell",
            (Self::NoSpread, ..) => "no spread",
            (Self::Same, ..) => "the same",
        }
    }
}

/// Comparison of one group with the reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Against {
    /// The mean of the group minus the mean of the reference, with the uncorrected test. `None` for
    /// the reference and for groups with too few trials to test.
    pub difference: Option<Difference>,
    /// Half the width of the 95 % confidence interval of the difference.
    pub half_width: Option<f64>,
    /// Number of compared pairs. `None` if the samples were treated as independent.
    pub pairs: Option<usize>,
    /// The p-value, corrected for all comparisons. `None` if no test was made.
    pub corrected: Option<f64>,
    /// Hedges' g: the difference in units of the pooled standard deviation.
    pub effect: Option<f64>,
    /// The mean of the group divided by that of the reference, with half the width of its 95 %
    /// confidence interval. `None` unless the means of all groups are positive.
    pub ratio: Option<(f64, Option<f64>)>,
    /// The verdict, after the correction for all comparisons.
    pub verdict: Verdict,
}

/// Compares every group with the one at index `reference`. Also returns the number of comparisons
/// that the p-values are corrected for.
#[must_use]
pub fn against(groups: &[Group<'_>], reference: usize, rules: &Rules) -> (Vec<Against>, usize) {
    let positive = groups.iter().all(|group| group.mean() > 0.0);
    let mut compared: Vec<(Against, f64)> = groups
        .iter()
        .enumerate()
        .map(|(index, group)| {
            compare(
                group,
                &groups[reference],
                index == reference,
                positive,
                rules,
            )
        })
        .collect();
    let testable: Vec<usize> = (0..groups.len())
        .filter(|index| groups[*index].numbers.len() >= FEWEST)
        .collect();
    // A baseline was chosen beforehand, so only the comparisons with it count. A reference that was
    // chosen for its result implies a comparison of all pairs.
    let family = if rules.baseline {
        compared.iter().filter(|(_, p)| !p.is_nan()).count()
    } else {
        testable.len() * testable.len().saturating_sub(1) / 2
    };
    let own_p_values: Vec<f64> = compared.iter().map(|(_, p)| *p).collect();
    // Holm's method needs all p-values. For many groups these are too many tests, so Bonferroni's
    // method multiplies by their number instead.
    let corrected = if rules.baseline {
        holm(&own_p_values)
    } else if testable.len() <= ALL_PAIRS {
        over_all_pairs(groups, &testable, reference, &own_p_values, rules)
    } else {
        own_p_values
            .iter()
            .map(|p| (p * family as f64).min(1.0))
            .collect()
    };
    for ((against, p), corrected) in compared.iter_mut().zip(corrected) {
        against.corrected = Some(corrected).filter(|p| !p.is_nan());
        // NaN marks a comparison that was not tested; its verdict is final already.
        if !p.is_nan() && against.verdict == Verdict::Unclear && corrected < SIGNIFICANT {
            let higher = against
                .difference
                .is_some_and(|difference| difference.mean > 0.0);
            against.verdict = if higher == (rules.goal == Goal::Max) {
                Verdict::Better
            } else {
                Verdict::Worse
            };
        }
    }
    (
        compared.into_iter().map(|(against, _)| against).collect(),
        family,
    )
}

/// Returns the p-values corrected over all pairs of groups. The reference was chosen for being the
/// best, and any other group could have been chosen instead.
fn over_all_pairs(
    groups: &[Group<'_>],
    testable: &[usize],
    reference: usize,
    own_p_values: &[f64],
    rules: &Rules,
) -> Vec<f64> {
    let mut all = own_p_values.to_vec();
    // Pairs with the reference are in `own_p_values` already.
    for (index, &one) in testable.iter().enumerate() {
        for &other in testable[index + 1..]
            .iter()
            .filter(|other| one != reference && **other != reference)
        {
            all.push(test(&groups[one], &groups[other], rules).map_or(f64::NAN, |tested| tested.p));
        }
    }
    let mut corrected = holm(&all);
    corrected.truncate(own_p_values.len());
    corrected
}

/// Result of a test between two groups.
struct Tested {
    difference: Difference,
    pairs: Option<Vec<(f64, f64)>>,
    p: f64,
}

/// Tests two groups, as pairs if the rules allow it and [`pairs`] finds them. `None` for too few
/// values.
fn test(group: &Group<'_>, reference: &Group<'_>, rules: &Rules) -> Option<Tested> {
    let pairs = if rules.paired {
        pairs(group, reference)
    } else {
        None
    };
    if let Some(pairs) = pairs {
        let differences: Vec<f64> = pairs.iter().map(|(one, other)| one - other).collect();
        let difference = Difference::paired(&differences)?;
        let p = if rules.test == Test::T {
            difference.p
        } else {
            rank_test::wilcoxon(&differences)
        };
        return Some(Tested {
            difference,
            pairs: Some(pairs),
            p,
        });
    }
    let difference = Difference::welch(group.sample.as_ref()?, reference.sample.as_ref()?)?;
    let p = match rules.test {
        Test::T => difference.p,
        Test::Rank => rank_test::mann_whitney(&values(group), &values(reference)),
    };
    Some(Tested {
        difference,
        pairs: None,
        p,
    })
}

fn values(group: &Group<'_>) -> Vec<f64> {
    group.numbers.iter().map(|(_, number)| *number).collect()
}

/// Compares one group with the reference. Also returns the uncorrected p-value, NaN if no test was
/// made.
fn compare(
    group: &Group<'_>,
    reference: &Group<'_>,
    is_reference: bool,
    positive: bool,
    rules: &Rules,
) -> (Against, f64) {
    let mut against = Against {
        difference: None,
        half_width: None,
        pairs: None,
        corrected: None,
        effect: None,
        ratio: None,
        verdict: if is_reference {
            Verdict::Reference
        } else {
            Verdict::TooFew
        },
    };
    if is_reference {
        against.ratio = positive.then_some((1.0, None));
        return (against, f64::NAN);
    }
    let tested = test(group, reference, rules);
    let share = group.mean() / reference.mean();
    // A ratio is meaningful only if all means are positive.
    against.ratio = positive.then(|| {
        (
            share,
            tested
                .as_ref()
                .and_then(|tested| ratio_half_width(group, reference, tested)),
        )
    });
    let (Some(tested), Some(one), Some(other)) = (tested, &group.sample, &reference.sample) else {
        return (against, f64::NAN);
    };
    against.difference = Some(tested.difference);
    against.half_width =
        Some(tested.difference.half_width(CONFIDENCE)).filter(|half| half.is_finite());
    against.effect = hedges(one, other);
    against.pairs = tested.pairs.as_ref().map(Vec::len);
    let count = against.pairs.unwrap_or(one.n.min(other.n));
    against.verdict = match () {
        () if count < FEWEST => Verdict::TooFew,
        () if tested.difference.error == 0.0 && tested.difference.mean == 0.0 => Verdict::Same,
        // Without any variance a test would report certainty for every difference.
        () if tested.difference.error == 0.0 => Verdict::NoSpread,
        () => Verdict::Unclear,
    };
    let p = if against.verdict == Verdict::Unclear {
        tested.p
    } else {
        f64::NAN
    };
    (against, p)
}

/// Pairs the members of two groups that ran under equal circumstances. `None` unless each member of
/// the smaller group has exactly one partner, and there are at least [`FEWEST`] pairs.
fn pairs(group: &Group<'_>, reference: &Group<'_>) -> Option<Vec<(f64, f64)>> {
    let mut partners: HashMap<&str, f64> = HashMap::new();
    for (key, number) in &reference.numbers {
        // With two values under the same circumstances it is open which one belongs to the pair.
        if partners.insert(key, *number).is_some() {
            return None;
        }
    }
    let mut pairs: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (key, number) in &group.numbers {
        let Some(partner) = partners.get(key.as_str()) else {
            continue;
        };
        if pairs.insert(key, (*number, *partner)).is_some() {
            return None;
        }
    }
    let smaller = group.numbers.len().min(reference.numbers.len());
    (pairs.len() >= FEWEST && pairs.len() == smaller).then(|| pairs.into_values().collect())
}

/// Returns half the width of the confidence interval of the ratio of two means, by the delta
/// method.
fn ratio_half_width(group: &Group<'_>, reference: &Group<'_>, tested: &Tested) -> Option<f64> {
    let (one, other) = (group.sample?, reference.sample?);

    // Paired samples are correlated, which makes the interval of the ratio narrower.
    let shared = tested.pairs.as_ref().map_or(0.0, |pairs| {
        let n = pairs.len() as f64;
        let first = pairs.iter().map(|pair| pair.0).sum::<f64>() / n;
        let second = pairs.iter().map(|pair| pair.1).sum::<f64>() / n;
        let product: f64 = pairs.iter().map(|(a, b)| (a - first) * (b - second)).sum();
        product / (n - 1.0) / n / (one.mean * other.mean)
    });
    let spread = (relative_variance(&one) + relative_variance(&other) - 2.0 * shared)
        .max(0.0)
        .sqrt();
    let half = one.mean / other.mean * spread * student::critical(CONFIDENCE, tested.difference.df);
    half.is_finite().then_some(half)
}

/// Returns the variance of the mean in units of the squared mean.
fn relative_variance(sample: &Sample) -> f64 {
    (sample.error() / sample.mean).powi(2)
}
