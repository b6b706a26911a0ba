//! Grids of numbers with a log-uniform prior: integers, and floats in steps from `min`.

/// Maps the unit interval to the logarithms between two ends, and rounds each number to the nearest
/// point of a grid.
///
/// The numbers that round to one grid point are its cell. The cells tile the unit interval.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogGrid {
    min: f64,
    step: f64,
    count: u64,
    /// Natural logarithms of the two ends.
    low: f64,
    high: f64,
}

impl LogGrid {
    /// Makes the grid of `count` numbers from `min`, `step` apart, over the interval `ends`.
    ///
    /// The ends must be positive. Each must lie in the cell of the first or last grid point.
    pub(crate) fn new(min: f64, step: f64, count: u64, ends: (f64, f64)) -> Self {
        Self {
            min,
            step,
            count,
            low: libm::log(ends.0),
            high: libm::log(ends.1),
        }
    }

    /// Returns the index of the grid point whose cell contains a coordinate.
    pub(crate) fn index(&self, coordinate: f64) -> u64 {
        let number = libm::exp(self.low + coordinate * (self.high - self.low));
        (((number - self.min) / self.step).round().max(0.0) as u64).min(self.count - 1)
    }

    /// Returns the coordinate of the centre of a cell, (low edge + high edge) / 2 in the unit
    /// interval.
    pub(crate) fn centre(&self, index: u64) -> f64 {
        let below = if index == 0 {
            self.low
        } else {
            self.ln_position(index as f64 - 0.5)
        };
        let above = if index == self.count - 1 {
            self.high
        } else {
            self.ln_position(index as f64 + 0.5)
        };
        (0.5 * (below + above) - self.low) / (self.high - self.low)
    }

    /// Returns the logarithm of the number at a fractional index.
    fn ln_position(&self, index: f64) -> f64 {
        libm::log(self.min + self.step * index)
    }
}

#[cfg(test)]
mod tests {
    use super::LogGrid;

    #[test]
    fn numbers_are_uniform_in_the_logarithm_and_then_rounded_to_the_grid() {
        let grid = LogGrid::new(8.0, 8.0, 32, (8.0, 256.0));
        let draws = 100_000;
        let mut drawn = [0_u32; 32];
        for draw in 0..draws {
            drawn[grid.index((f64::from(draw) + 0.5) / f64::from(draws)) as usize] += 1;
        }
        for (index, drawn) in drawn.into_iter().enumerate() {
            let value = 8.0 + 8.0 * index as f64;
            let cell = ((value - 4.0_f64).max(8.0), (value + 4.0_f64).min(256.0));
            let expected = (cell.1 / cell.0).ln() / 32_f64.ln();
            assert!(
                (f64::from(drawn) / f64::from(draws) - expected).abs() < 1e-4,
                "{value}"
            );
        }
    }

    #[test]
    fn the_centre_of_a_cell_lies_in_it_and_cells_tile_the_unit_interval() {
        for (min, step, count, max) in [
            (1.0, 9.0, 12, 105.0),
            (1e-4, 1e-4, 1000, 0.1),
            (1e-300, 1.0, 4, 3.4),
            (16.0, 32.0, 4, 112.0),
        ] {
            let grid = LogGrid::new(min, step, count, (min, max));
            let mut edge = 0.0;
            for index in 0..count {
                assert_eq!(grid.index(grid.centre(index)), index);
                edge = 2.0 * grid.centre(index) - edge;
            }
            assert!((edge - 1.0).abs() < 1e-9, "{edge}");
        }
    }
}
