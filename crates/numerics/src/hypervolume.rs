//! The hypervolume: the size of the space that a set of points dominates, which measures the
//! quality of a Pareto front in one number.

/// Returns the volume between points and a reference point that at least one of the points
/// dominates. All coordinates are oriented so that smaller is better.
///
/// Points that are not better than the reference in every coordinate add nothing. The result is
/// exact, by slicing along the last coordinate (Knowles, 2002; While et al., IEEE TEC 10(1), 2006):
/// O(n log n) for two coordinates, O(n² log n) for three, and a factor n more for each further one.
#[must_use]
pub fn hypervolume(points: &[Vec<f64>], reference: &[f64]) -> f64 {
    let better = points
        .iter()
        .map(Vec::as_slice)
        .filter(|point| is_better(point, reference));
    slice(better.collect(), reference)
}

/// Returns whether a point is better than the reference in every coordinate.
fn is_better(point: &[f64], reference: &[f64]) -> bool {
    point.len() == reference.len() && point.iter().zip(reference).all(|(x, r)| x < r)
}

/// Returns the hypervolume of points that are all better than the reference.
fn slice(mut points: Vec<&[f64]>, reference: &[f64]) -> f64 {
    let Some((edge, rest)) = reference.split_last() else {
        return 0.0;
    };
    let last = rest.len();
    points.sort_by(|a, b| a[last].total_cmp(&b[last]));
    if last == 0 {
        return points.first().map_or(0.0, |best| edge - best[0]);
    }
    if last == 1 {
        // From the best in the second coordinate on, each step down in the first adds a rectangle.
        let mut reach = rest[0];
        let mut volume = 0.0;
        for point in points.iter().filter(|point| point[0] < reference[0]) {
            if point[0] < reach {
                volume += (reach - point[0]) * (edge - point[1]);
                reach = point[0];
            }
        }
        return volume;
    }
    let mut volume = 0.0;
    for index in 0..points.len() {
        // Between this point and the next along the last coordinate, only the points up to this one
        // dominate.
        let height = points.get(index + 1).map_or(*edge, |next| next[last]) - points[index][last];
        if height > 0.0 {
            volume += height
                * slice(
                    points[..=index]
                        .iter()
                        .map(|point| &point[..last])
                        .collect(),
                    rest,
                );
        }
    }
    volume
}

/// An axis-parallel box of a partition, in three coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// The lower edges; −∞ where the box is not bounded.
    pub low: [f64; 3],
    /// The upper edges.
    pub high: [f64; 3],
}

/// The part of the plane above which nothing is dominated yet, between two values of the first
/// coordinate, during a sweep along the third.
#[derive(Clone, Copy)]
struct Strip {
    /// The edges in the first coordinate.
    low: f64,
    high: f64,
    /// The upper edge in the second coordinate.
    top: f64,
    /// The value of the third coordinate from which on the strip has these edges.
    since: f64,
}

/// Returns disjoint boxes that cover everything below the reference point that no point dominates:
/// at most n + 1 boxes for two coordinates, and 2 n + 1 for three. With two coordinates the third
/// is unbounded below and ends at 0.
///
/// A sweep along the third coordinate with the staircase of the other two, as in Yang, Emmerich,
/// Deutz & Bäck, *Efficient computation of expected hypervolume improvement using box decomposition
/// algorithms*, Journal of Global Optimization 75, 2019. O(n²) in the worst case.
#[must_use]
pub fn undominated_cells(points: &[Vec<f64>], reference: &[f64]) -> Vec<Cell> {
    let &[right, top, ref rest @ ..] = reference else {
        return Vec::new();
    };
    let end = rest.first().copied().unwrap_or(0.0);
    let mut points: Vec<[f64; 3]> = points
        .iter()
        .filter(|point| is_better(point, reference))
        .map(|point| {
            [
                point[0],
                point[1],
                point.get(2).copied().unwrap_or(f64::NEG_INFINITY),
            ]
        })
        .collect();
    points.sort_by(|a, b| a[2].total_cmp(&b[2]));
    let mut cells = Vec::new();
    let mut strips = vec![Strip {
        low: f64::NEG_INFINITY,
        high: right,
        top,
        since: f64::NEG_INFINITY,
    }];
    for [x, y, z] in points {
        let first = strips.partition_point(|strip| strip.high <= x);
        let last = strips.partition_point(|strip| strip.top > y);
        if first >= last {
            continue;
        }
        let (left, right) = (strips[first], strips[last - 1].high);
        cells.extend(
            strips[first..last]
                .iter()
                .filter_map(|strip| strip.cell_up_to(z)),
        );
        let before = Strip {
            high: x,
            since: z,
            ..left
        };
        let beside = Strip {
            low: x,
            high: right,
            top: y,
            since: z,
        };
        let is_split = left.low < x;
        let new = [before, beside];
        strips.splice(first..last, new.into_iter().skip(usize::from(!is_split)));
    }
    cells.extend(strips.iter().filter_map(|strip| strip.cell_up_to(end)));
    cells
}

impl Strip {
    /// Returns the box of the strip that ends at a value of the third coordinate; `None` if it is
    /// empty.
    fn cell_up_to(&self, end: f64) -> Option<Cell> {
        (self.since < end).then_some(Cell {
            low: [self.low, f64::NEG_INFINITY, self.since],
            high: [self.high, self.top, end],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, hypervolume, undominated_cells};
    use crate::sobol::Sobol;

    /// Returns the volume of the part of a box above 0 in each of the first `count` coordinates.
    fn volume_above_zero(cell: &Cell, count: usize) -> f64 {
        let sides = (0..count).map(|axis| cell.high[axis].max(0.0) - cell.low[axis].max(0.0));
        sides.product()
    }

    #[test]
    fn the_cells_fill_what_the_points_do_not_dominate() {
        for count in [2, 3] {
            let sequence = Sobol::new(count, 5);
            let points: Vec<Vec<f64>> = (0..40).map(|at| sequence.point(at)).collect();
            let reference = vec![0.9; count];
            let cells = undominated_cells(&points, &reference);
            assert!(cells.len() <= 81);
            let free: f64 = cells
                .iter()
                .map(|cell| volume_above_zero(cell, count))
                .sum();
            let all = 0.9_f64.powi(count as i32);
            let dominated = hypervolume(&points, &reference);
            assert!(
                (free + dominated - all).abs() < 1e-12,
                "{count}: {free} {dominated}"
            );
        }
    }

    #[test]
    fn equal_points_and_points_beyond_the_reference_make_no_cells() {
        let point = vec![0.5, 0.5, 0.5];
        let once = undominated_cells(std::slice::from_ref(&point), &[1.0; 3]);
        let beyond = vec![0.1, 0.1, 1.0];
        let again = undominated_cells(&[point.clone(), beyond, point], &[1.0; 3]);
        assert_eq!(once, again);
        assert_eq!(undominated_cells(&[], &[1.0; 2]).len(), 1);
    }

    #[test]
    fn areas_and_volumes_are_those_counted_by_hand() {
        let staircase = vec![
            vec![1.0, 3.0],
            vec![2.0, 2.0],
            vec![3.0, 1.0],
            vec![2.5, 2.5],
            vec![5.0, 0.0],
        ];
        assert_eq!(hypervolume(&staircase, &[4.0, 4.0]), 6.0);
        assert_eq!(hypervolume(&[vec![0.0, 0.0, 0.0]], &[2.0, 3.0, 4.0]), 24.0);
        assert_eq!(hypervolume(&[], &[1.0, 1.0]), 0.0);
        assert_eq!(
            hypervolume(&[vec![1.0, 1.0]], &[1.0, 2.0]),
            0.0,
            "on the border of the reference"
        );
    }

    #[test]
    fn three_coordinates_agree_with_inclusion_and_exclusion() {
        let points = [
            [0.1, 0.7, 0.5],
            [0.4, 0.2, 0.6],
            [0.8, 0.3, 0.1],
            [0.3, 0.5, 0.55],
        ];
        let reference = [1.0, 0.9, 0.95];
        let mut expected = 0.0;
        for subset in 1..(1u32 << points.len()) {
            // The overlap of the boxes of the subset reaches from its largest coordinates.
            let mut corner = [0.0_f64; 3];
            for (index, point) in points.iter().enumerate() {
                if subset >> index & 1 == 1 {
                    corner = [0, 1, 2].map(|axis| corner[axis].max(point[axis]));
                }
            }
            let volume: f64 = corner.iter().zip(reference).map(|(x, r)| r - x).product();
            let sign = if subset.count_ones() % 2 == 1 {
                1.0
            } else {
                -1.0
            };
            expected += sign * volume;
        }
        let actual = hypervolume(&points.map(|point| point.to_vec()), &reference);
        assert!(
            (actual - expected).abs() < 1e-12,
            "{actual} is not {expected}"
        );
    }
}
