//! Numbers computed from the reports of a trial: `min(val_loss)`, `at_best(acc)`, `acc@10`.

use swath_numerics::sample::Sample;

/// A function that reduces several numbers to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reducer {
    /// The smallest finite value.
    Min,
    /// The largest finite value.
    Max,
    /// The mean of the finite values.
    Mean,
    /// The median of the finite values.
    Median,
    /// The sample standard deviation of the finite values, with n − 1. It is absent for a single
    /// value.
    Std,
    /// The first value.
    First,
    /// The last value.
    Last,
    /// The smallest or largest value, according to the goal of the metric.
    Best,
    /// The number of values.
    Count,
}

impl Reducer {
    /// All reducers with their names.
    pub const ALL: [(&'static str, Self); 9] = [
        ("min", Self::Min),
        ("max", Self::Max),
        ("mean", Self::Mean),
        ("median", Self::Median),
        ("std", Self::Std),
        ("first", Self::First),
        ("last", Self::Last),
        ("best", Self::Best),
        ("count", Self::Count),
    ];

    /// Returns the reducer with this name, or `None` if there is none.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, reducer)| *reducer)
    }

    /// Returns the name of the reducer.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, reducer)| *reducer == self)
            .map_or("", |(name, _)| name)
    }

    /// Reduces numbers in the order of the reports. Returns `None` if there are too few (finite)
    /// numbers.
    ///
    /// `Best` always returns `None`, because it depends on the goal of the metric.
    #[must_use]
    pub fn of(self, numbers: &[f64]) -> Option<f64> {
        let finite = numbers.iter().copied().filter(|number| number.is_finite());
        match self {
            Self::Min => finite.reduce(f64::min),
            Self::Max => finite.reduce(f64::max),
            Self::First => numbers.first().copied(),
            Self::Last => numbers.last().copied(),
            Self::Count => Some(numbers.len() as f64),
            Self::Best => None,
            Self::Mean => Sample::of(&finite.collect::<Vec<_>>()).map(|sample| sample.mean),
            Self::Std => Sample::of(&finite.collect::<Vec<_>>())
                .filter(|sample| sample.n > 1)
                .map(|sample| sample.std),
            Self::Median => median(finite.collect()),
        }
    }
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = *numbers.get(middle)?;
    Some(if numbers.len() % 2 == 1 {
        upper
    } else {
        0.5 * (numbers[middle - 1] + upper)
    })
}

/// A reference to the reports of a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ask {
    /// A number reduced from all values of a metric.
    Reduce(Reducer),
    /// The value of the metric in the report that counts for the objective.
    AtBest,
    /// The value of the metric in the report at this step.
    At(f64),
}

impl Ask {
    /// Name of the function for [`Ask::AtBest`].
    pub(super) const AT_BEST: &'static str = "at_best";

    /// Names of all functions over the reports of a trial.
    pub(super) const WORDS: [&'static str; 10] = [
        "at_best", "best", "last", "first", "min", "max", "mean", "median", "std", "count",
    ];

    /// Returns the reference that a function name stands for, or `None` if there is none.
    pub(super) fn named(word: &str) -> Option<Self> {
        if word == Self::AT_BEST {
            Some(Self::AtBest)
        } else {
            Reducer::named(word).map(Self::Reduce)
        }
    }

    /// Formats the reference to a metric: `min(val_loss)`, `acc@10`.
    #[must_use]
    pub fn of(self, name: &str) -> String {
        match self {
            Self::Reduce(reducer) => format!("{}({name})", reducer.word()),
            Self::AtBest => format!("{}({name})", Self::AT_BEST),
            Self::At(step) => format!("{name}@{step}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reducer;

    #[test]
    fn numbers_that_are_not_finite_are_ignored() {
        let numbers = [f64::NAN, 2.0, f64::NEG_INFINITY, 4.0];
        assert_eq!(Reducer::Min.of(&numbers), Some(2.0));
        assert_eq!(Reducer::Mean.of(&numbers), Some(3.0));
        assert_eq!(Reducer::Std.of(&[1.0]), None);
        assert_eq!(Reducer::Median.of(&[]), None);
    }
}
