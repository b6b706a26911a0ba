//! Ranges of integers.

use super::domain::unit;
use super::log_grid::LogGrid;

/// An arithmetic progression of `count` integers from `min`, `step` apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IntRange {
    min: i64,
    step: i64,
    count: u64,
    /// The grid in log space if the range is log-uniform.
    log: Option<LogGrid>,
}

impl IntRange {
    /// Makes the range from `min` to at most `max`. The caller has checked that the range is not
    /// empty, not too wide, and positive if it is logarithmic.
    ///
    /// In a log-uniform range with step 1 the interval reaches half an integer beyond both bounds,
    /// so that the first and the last integer have complete cells. With a larger step the interval
    /// could reach zero, so it ends at the bounds.
    pub(crate) fn new(min: i64, max: i64, step: i64, log: bool) -> Self {
        let count = ((max - min) / step) as u64 + 1;
        let margin = if step == 1 { 0.5 } else { 0.0 };
        let ends = (min as f64 - margin, max as f64 + margin);
        let log = log.then(|| LogGrid::new(min as f64, step as f64, count, ends));
        Self {
            min,
            step,
            count,
            log,
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn min(&self) -> i64 {
        self.min
    }

    pub(crate) fn max(&self) -> i64 {
        self.value_at(self.count - 1)
    }

    pub(crate) fn is_log(&self) -> bool {
        self.log.is_some()
    }

    pub(crate) fn step(&self) -> i64 {
        self.step
    }

    /// Returns the integer with this index, counted from `min`. An index beyond the end means the
    /// last.
    pub(crate) fn value_at(&self, index: u64) -> i64 {
        self.min + self.step * index.min(self.count - 1) as i64
    }

    pub(crate) fn decode(&self, coordinate: f64) -> i64 {
        self.value_at(match &self.log {
            None => (coordinate * self.count as f64) as u64,
            Some(grid) => grid.index(coordinate),
        })
    }

    pub(crate) fn encode(&self, number: i64) -> f64 {
        let number = number.clamp(self.min, self.max());
        let index = (number - self.min) / self.step;
        unit(match &self.log {
            None => (index as f64 + 0.5) / self.count as f64,
            Some(grid) => grid.centre(index as u64),
        })
    }

    pub(crate) fn contains(&self, number: i64) -> bool {
        number >= self.min && number <= self.max() && (number - self.min) % self.step == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_included_and_cells_are_equal() {
        let range = IntRange::new(1, 4, 1, false);
        assert_eq!(
            [0.0, 0.24, 0.25, 0.5, 0.99].map(|u| range.decode(u)),
            [1, 1, 2, 3, 4]
        );
        assert_eq!(range.encode(2), 0.375);
    }

    #[test]
    fn a_step_that_does_not_divide_the_range_ends_before_it() {
        let range = IntRange::new(0, 10, 4, false);
        assert_eq!((range.count(), range.max()), (3, 8));
        assert!(range.contains(4) && !range.contains(10) && !range.contains(5));
    }

    #[test]
    fn a_logarithmic_range_gives_each_doubling_the_same_share() {
        let range = IntRange::new(1, 1024, 1, true);
        let [low_share, high_share] = [8..16, 256..512].map(|doubling| {
            let coordinates = (0..10_000).map(|k| f64::from(k) / 10_000.0);
            let draws = coordinates.filter(|u| doubling.contains(&range.decode(*u)));
            draws.count() as f64 / 10_000.0
        });
        assert!((low_share - high_share).abs() < 0.01);
    }

    #[test]
    fn a_logarithmic_range_with_steps_holds_its_grid_and_gives_each_doubling_the_same_share() {
        let range = IntRange::new(16, 1024, 16, true);
        assert_eq!(
            (range.decode(0.0), range.decode(0.5), range.decode(1.0)),
            (16, 128, 1024)
        );
        assert!((range.encode(128) - 0.5).abs() < 0.02);
        assert!(
            (0..range.count())
                .map(|index| range.value_at(index))
                .all(|number| range.decode(range.encode(number)) == number)
        );
    }
}
