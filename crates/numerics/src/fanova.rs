//! Functional analysis of variance (fANOVA) of a random forest: the share of the variance of its
//! predictions that each parameter explains alone.
//!
//! Hutter, Hoos & Leyton-Brown, *An Efficient Approach for Assessing Hyperparameter Importance*,
//! ICML 2014. All points of the unit cube have the same weight, wherever the samples were taken. A
//! conditional parameter is assessed over the part of the cube where it is active, and its variance
//! is weighted by the size of that part.

use super::forest::{Forest, Node, Tree};
use rayon::prelude::*;

/// The share of the variance that each column explains alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    /// The mean share over the trees, one per column. Their sum is at most about 1; the rest is due
    /// to interactions.
    pub shares: Vec<f64>,
    /// The standard deviation of the share between the trees, one per column.
    pub spreads: Vec<f64>,
}

/// A leaf with the part of the cube that it covers.
#[derive(Debug, Clone, PartialEq)]
struct Region<'a> {
    /// The prediction of the leaf.
    mean: f64,
    /// The volume of the part; those of all leaves sum to 1.
    volume: f64,
    /// The extent along each column.
    sides: Vec<Side>,
    /// Whether each column is active in all samples of the leaf.
    exists: &'a [bool],
}

/// The extent of a leaf along one column.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    /// An interval of a number, from low to high.
    Range(f64, f64),
    /// The categories of a choice in a mask, and their total number.
    Mask(u64, usize),
}

impl Side {
    /// Returns the extent as a fraction of the whole axis.
    fn length(self) -> f64 {
        match self {
            Self::Range(low, high) => high - low,
            Self::Mask(mask, count) => f64::from(mask.count_ones()) / count as f64,
        }
    }
}

/// Returns the shares of all columns, computed in parallel over the trees. Trees without variance
/// are left out; `None` if no tree has any.
#[must_use]
pub fn effects(forest: &Forest) -> Option<Effects> {
    let columns = forest.categories.len();
    let of_tree = |tree: &Tree| {
        let regions = regions(tree, &forest.categories);
        let mean: f64 = regions
            .iter()
            .map(|region| region.volume * region.mean)
            .sum();
        let total: f64 = regions
            .iter()
            .map(|region| region.volume * (region.mean - mean).powi(2))
            .sum();
        (total > 0.0).then(|| {
            (0..columns)
                .map(|column| alone(&regions, column) / total)
                .collect::<Vec<f64>>()
        })
    };
    let trees: Vec<Vec<f64>> = forest.trees.par_iter().filter_map(of_tree).collect();
    if trees.is_empty() {
        return None;
    }
    let count = trees.len() as f64;
    let mean = |column: usize| trees.iter().map(|tree| tree[column]).sum::<f64>() / count;
    let shares: Vec<f64> = (0..columns).map(mean).collect();
    let spread = |column: usize| {
        let squares: f64 = trees
            .iter()
            .map(|tree| (tree[column] - shares[column]).powi(2))
            .sum();
        (squares / count).sqrt()
    };
    Some(Effects {
        spreads: (0..columns).map(spread).collect(),
        shares,
    })
}

/// Returns the mean prediction of the forest over two columns at the centres of a grid of `width` ×
/// `height` cells, row by row of the second column. `None` where the two columns are not both
/// active.
#[must_use]
pub fn surface(
    forest: &Forest,
    (first, second): (usize, usize),
    (width, height): (usize, usize),
) -> Vec<Option<f64>> {
    let mut cells = vec![(0.0, 0.0); width * height];
    for tree in &forest.trees {
        for region in regions(tree, &forest.categories) {
            if !region.exists[first] || !region.exists[second] {
                continue;
            }
            let (x, y) = (region.sides[first], region.sides[second]);
            let weight = region.volume / (x.length() * y.length());
            let columns = covered(x, width);
            for row in covered(y, height) {
                for column in &columns {
                    let cell = &mut cells[row * width + column];
                    *cell = (cell.0 + weight * region.mean, cell.1 + weight);
                }
            }
        }
    }
    // A low weight means that both columns are active there in few leaves only, which happens where
    // a tree could not tell that they are not.
    let most = cells.iter().map(|(_, weight)| *weight).fold(0.0, f64::max);
    cells
        .into_iter()
        .map(|(sum, weight)| (weight > 0.3 * most).then(|| sum / weight))
        .collect()
}

/// Returns the cells of a grid whose centres lie within a side. Each category is a cell of its own.
fn covered(side: Side, count: usize) -> Vec<usize> {
    let inside = |at: &usize| match side {
        Side::Range(low, high) => {
            let centre = (*at as f64 + 0.5) / count as f64;
            low <= centre && centre < high
        }
        Side::Mask(mask, _) => mask >> at & 1 == 1,
    };
    (0..count).filter(inside).collect()
}

/// Returns the variance that a column causes alone where it is active, times the fraction of the
/// cube where it is.
fn alone(regions: &[Region<'_>], column: usize) -> f64 {
    let parts: Vec<(Side, f64, f64)> = regions
        .iter()
        .filter(|region| region.exists[column] && region.volume > 0.0)
        .map(|region| {
            let side = region.sides[column];
            (side, region.volume / side.length(), region.mean)
        })
        .collect();
    let pieces = match parts.first() {
        None => return 0.0,
        Some((Side::Mask(_, count), ..)) => categories(&parts, *count),
        Some(_) => intervals(&parts),
    };
    // Each piece has a length, a weight (the cross-section of the leaves there) and the sum of the
    // weighted means.
    let mass: f64 = pieces
        .iter()
        .map(|(length, weight, _)| length * weight)
        .sum();
    let mean: f64 = pieces
        .iter()
        .map(|(length, _, sum)| length * sum)
        .sum::<f64>()
        / mass;
    let squares = pieces.iter().filter(|(_, weight, _)| *weight > 0.0);
    squares
        .map(|(length, weight, sum)| length * weight * (sum / weight - mean).powi(2))
        .sum()
}

/// Returns a piece per category: (length, weight, weighted sum of means).
fn categories(parts: &[(Side, f64, f64)], count: usize) -> Vec<(f64, f64, f64)> {
    let piece = |category: usize| {
        let (mut weight, mut sum) = (0.0, 0.0);
        for (side, part, mean) in parts {
            if matches!(side, Side::Mask(mask, _) if mask >> category & 1 == 1) {
                (weight, sum) = (weight + part, sum + part * mean);
            }
        }
        (1.0 / count as f64, weight, sum)
    };
    (0..count).map(piece).collect()
}

/// Returns the pieces between neighbouring edges of the leaves: (length, weight, weighted sum of
/// means). Pieces without weight are left out.
fn intervals(parts: &[(Side, f64, f64)]) -> Vec<(f64, f64, f64)> {
    let mut steps: Vec<(f64, f64, f64)> = Vec::with_capacity(parts.len() * 2);
    for (side, part, mean) in parts {
        if let Side::Range(low, high) = side {
            steps.push((*low, *part, part * mean));
            steps.push((*high, -part, -part * mean));
        }
    }
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut weight, mut sum, mut pieces) = (0.0, 0.0, Vec::with_capacity(steps.len()));
    for pair in steps.windows(2) {
        (weight, sum) = (weight + pair[0].1, sum + pair[0].2);
        // Rounding leaves a weight near 0 where no leaf is.
        if pair[1].0 > pair[0].0 && weight > 1e-12 {
            pieces.push((pair[1].0 - pair[0].0, weight, sum));
        }
    }
    pieces
}

/// Returns the leaves of a tree with the parts of the cube that they cover.
fn regions<'a>(tree: &'a Tree, categories: &[usize]) -> Vec<Region<'a>> {
    let whole = |count: &usize| match count {
        0 => Side::Range(0.0, 1.0),
        count => Side::Mask(u64::MAX >> (64 - count.clamp(&1, &64)), *count),
    };
    let mut open: Vec<(usize, Vec<Side>)> = vec![(0, categories.iter().map(whole).collect())];
    let mut leaves = Vec::new();
    while let Some((node, sides)) = open.pop() {
        let halves = |column: usize, left: Side, right: Side| {
            let (mut below, mut above) = (sides.clone(), sides.clone());
            (below[column], above[column]) = (left, right);
            (below, above)
        };
        match (&tree.nodes[node], &sides) {
            (Node::Leaf(mean), _) => {
                let volume = sides.iter().map(|side| side.length()).product();
                leaves.push(Region {
                    mean: *mean,
                    volume,
                    exists: &tree.exists[node],
                    sides,
                });
            }
            (
                Node::Below {
                    column,
                    threshold,
                    left,
                    right,
                },
                sides,
            ) => {
                let Side::Range(low, high) = sides[*column] else {
                    continue;
                };
                let at = threshold.clamp(low, high);
                let (below, above) = halves(*column, Side::Range(low, at), Side::Range(at, high));
                open.extend([(*left, below), (*right, above)]);
            }
            (
                Node::Among {
                    column,
                    mask,
                    left,
                    right,
                },
                sides,
            ) => {
                let Side::Mask(all, count) = sides[*column] else {
                    continue;
                };
                let (below, above) = halves(
                    *column,
                    Side::Mask(all & mask, count),
                    Side::Mask(all & !mask, count),
                );
                open.extend([(*left, below), (*right, above)]);
            }
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::{effects, surface};
    use crate::forest::{Column, Forest};

    /// Returns points that fill the unit interval evenly, one coordinate of a low-discrepancy
    /// sequence.
    fn plane(count: usize, step: f64) -> Vec<f64> {
        (0..count)
            .map(|at| (0.5 + at as f64 * step).fract())
            .collect()
    }

    fn number(values: Vec<f64>) -> Column {
        Column {
            values,
            categories: 0,
        }
    }

    #[test]
    fn the_shares_of_a_sum_are_those_of_its_variances() {
        // 2x + z: variances 4/12 and 1/12, no interaction.
        let [x, z, idle] =
            [0.819_172_513, 0.671_043_607, 0.549_700_478].map(|step| plane(600, step));
        let target: Vec<f64> = x.iter().zip(&z).map(|(x, z)| 2.0 * x + z).collect();
        let found = effects(&Forest::grow(
            &[number(x), number(z), number(idle)],
            &target,
            64,
            0,
        ))
        .unwrap();
        assert!((found.shares[0] - 0.8).abs() < 0.03, "{:?}", found.shares);
        assert!((found.shares[1] - 0.2).abs() < 0.03, "{:?}", found.shares);
        assert!(found.shares[2] < 0.01, "{:?}", found.shares);
    }

    #[test]
    fn a_conditional_parameter_counts_by_where_it_exists() {
        // Only one of two choices has the second parameter, which alone decides its score: 0 or 1.
        // The other choice always scores 1/2.
        let (switch, m) = (plane(800, 0.754_877_666), plane(800, 0.569_840_290));
        let exists = |at: usize| switch[at] < 0.5;
        let momentum = (0..800)
            .map(|at| if exists(at) { m[at] } else { f64::NAN })
            .collect();
        let target: Vec<f64> = (0..800)
            .map(|at| {
                if !exists(at) {
                    0.5
                } else if m[at] < 0.5 {
                    0.0
                } else {
                    1.0
                }
            })
            .collect();
        let choice = (0..800)
            .map(|at| f64::from(u8::from(!exists(at))))
            .collect();
        let columns = [
            Column {
                values: choice,
                categories: 2,
            },
            number(momentum),
        ];
        let found = effects(&Forest::grow(&columns, &target, 64, 0)).unwrap();
        assert!(found.shares[0] < 0.02, "{:?}", found.shares);
        assert!(found.shares[1] > 0.95, "{:?}", found.shares);
    }

    #[test]
    fn the_surface_is_what_the_forest_thinks() {
        let (x, z) = (plane(600, 0.754_877_666), plane(600, 0.569_840_290));
        let target: Vec<f64> = x.iter().zip(&z).map(|(x, z)| x * z).collect();
        let forest = Forest::grow(&[number(x), number(z)], &target, 32, 0);
        let found = surface(&forest, (0, 1), (4, 4));
        for (at, value) in found.iter().enumerate() {
            let (x, z) = ((at % 4) as f64 / 4.0 + 0.125, (at / 4) as f64 / 4.0 + 0.125);
            assert!((value.unwrap() - x * z).abs() < 0.08, "{x} {z} {value:?}");
        }
    }

    #[test]
    fn a_constant_has_no_effects() {
        assert_eq!(
            effects(&Forest::grow(&[number(plane(10, 0.3))], &[1.0; 10], 8, 0)),
            None
        );
    }
}
