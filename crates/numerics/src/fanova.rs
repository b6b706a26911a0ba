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
    /// Returns the whole axis of a column with this number of categories; 0 for a number.
    fn full(categories: usize) -> Self {
        match categories {
            0 => Self::Range(0.0, 1.0),
            count => Self::Mask(u64::MAX >> (64 - count.clamp(1, 64)), count),
        }
    }

    /// Returns the extent as a fraction of the whole axis.
    fn length(self) -> f64 {
        match self {
            Self::Range(low, high) => high - low,
            Self::Mask(mask, count) => f64::from(mask.count_ones()) / count as f64,
        }
    }

    /// Returns whether the centre of a cell is within the extent, when the axis has `count` cells.
    /// Each category is a cell of its own.
    fn contains_cell(self, cell: usize, count: usize) -> bool {
        match self {
            Self::Range(low, high) => {
                let centre = (cell as f64 + 0.5) / count as f64;
                low <= centre && centre < high
            }
            Self::Mask(mask, _) => mask >> cell & 1 == 1,
        }
    }
}

/// Returns the shares of all columns, computed in parallel over the trees. Trees without variance
/// are left out; `None` if no tree has any.
#[must_use]
pub fn effects(forest: &Forest) -> Option<Effects> {
    let trees: Vec<Vec<f64>> = forest
        .trees
        .par_iter()
        .filter_map(|tree| tree_shares(tree, &forest.categories))
        .collect();
    if trees.is_empty() {
        return None;
    }
    let count = trees.len() as f64;
    let (mut shares, mut spreads) = (Vec::new(), Vec::new());
    for column in 0..forest.categories.len() {
        let mean = trees.iter().map(|tree| tree[column]).sum::<f64>() / count;
        let squares: f64 = trees.iter().map(|tree| (tree[column] - mean).powi(2)).sum();
        shares.push(mean);
        spreads.push((squares / count).sqrt());
    }
    Some(Effects { shares, spreads })
}

/// Returns the shares of all columns in one tree, or `None` if its predictions do not vary.
fn tree_shares(tree: &Tree, categories: &[usize]) -> Option<Vec<f64>> {
    let regions = regions(tree, categories);
    let mean: f64 = regions
        .iter()
        .map(|region| region.volume * region.mean)
        .sum();
    let total: f64 = regions
        .iter()
        .map(|region| region.volume * (region.mean - mean).powi(2))
        .sum();
    (total > 0.0).then(|| {
        (0..categories.len())
            .map(|column| main_effect(&regions, column) / total)
            .collect()
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
    let mut columns = Vec::with_capacity(width);
    for tree in &forest.trees {
        each_leaf(tree, &forest.categories, &mut |mean, exists, sides| {
            if !exists[first] || !exists[second] {
                return;
            }
            let (x, y) = (sides[first], sides[second]);
            let weight = volume(sides) / (x.length() * y.length());
            // The same columns are covered in each row.
            columns.clear();
            columns.extend((0..width).filter(|column| x.contains_cell(*column, width)));
            for row in (0..height).filter(|row| y.contains_cell(*row, height)) {
                for column in &columns {
                    let cell = &mut cells[row * width + column];
                    *cell = (cell.0 + weight * mean, cell.1 + weight);
                }
            }
        });
    }
    // A low weight means that both columns are active there in few leaves only, which happens where
    // a tree could not tell that they are not.
    let largest = cells.iter().map(|(_, weight)| *weight).fold(0.0, f64::max);
    cells
        .into_iter()
        .map(|(sum, weight)| (weight > 0.3 * largest).then(|| sum / weight))
        .collect()
}

/// Returns the variance that a column causes alone where it is active, times the fraction of the
/// cube where it is.
fn main_effect(regions: &[Region<'_>], column: usize) -> f64 {
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
    let mut pieces = vec![(1.0 / count as f64, 0.0, 0.0); count];
    for (category, (_, weight, sum)) in pieces.iter_mut().enumerate() {
        for (side, part, mean) in parts {
            if side.contains_cell(category, count) {
                (*weight, *sum) = (*weight + part, *sum + part * mean);
            }
        }
    }
    pieces
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
    let mut leaves = Vec::new();
    each_leaf(tree, categories, &mut |mean, exists, sides| {
        leaves.push(Region {
            mean,
            volume: volume(sides),
            sides: sides.to_vec(),
            exists,
        });
    });
    leaves
}

/// Returns the volume of the part of the cube with these sides.
fn volume(sides: &[Side]) -> f64 {
    sides.iter().map(|side| side.length()).product()
}

/// Calls `each` for every leaf of a tree, from right to left, with its prediction, whether each
/// column is active in it, and the sides of the part of the cube that it covers.
fn each_leaf<'a>(
    tree: &'a Tree,
    categories: &[usize],
    each: &mut impl FnMut(f64, &'a [bool], &[Side]),
) {
    let mut sides: Vec<Side> = categories.iter().map(|count| Side::full(*count)).collect();
    visit(tree, 0, &mut sides, each);
}

/// Visits the leaves below a node that covers the part of the cube with these sides.
fn visit<'a>(
    tree: &'a Tree,
    node: usize,
    sides: &mut [Side],
    each: &mut impl FnMut(f64, &'a [bool], &[Side]),
) {
    let (column, parts) = match &tree.nodes[node] {
        Node::Leaf(mean) => return each(*mean, &tree.exists[node], sides),
        Node::Below {
            column,
            threshold,
            left,
            right,
        } => {
            let Side::Range(low, high) = sides[*column] else {
                return;
            };
            let middle = threshold.clamp(low, high);
            let (below, above) = (Side::Range(low, middle), Side::Range(middle, high));
            (*column, [(*right, above), (*left, below)])
        }
        Node::Among {
            column,
            mask,
            left,
            right,
        } => {
            let Side::Mask(all, count) = sides[*column] else {
                return;
            };
            let [among, others] = [all & mask, all & !mask].map(|mask| Side::Mask(mask, count));
            (*column, [(*right, others), (*left, among)])
        }
    };
    let whole = sides[column];
    for (node, side) in parts {
        sides[column] = side;
        visit(tree, node, sides, each);
    }
    sides[column] = whole;
}

#[cfg(test)]
mod tests {
    use super::surface;
    use crate::forest::{Column, Forest};

    /// Returns points that fill the unit interval evenly, one coordinate of a low-discrepancy
    /// sequence.
    fn plane(count: usize, step: f64) -> Vec<f64> {
        (0..count)
            .map(|index| (0.5 + index as f64 * step).fract())
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
        let effects = super::effects(&Forest::grow(
            &[number(x), number(z), number(idle)],
            &target,
            64,
            0,
        ))
        .unwrap();
        assert!(
            (effects.shares[0] - 0.8).abs() < 0.03,
            "{:?}",
            effects.shares
        );
        assert!(
            (effects.shares[1] - 0.2).abs() < 0.03,
            "{:?}",
            effects.shares
        );
        assert!(effects.shares[2] < 0.01, "{:?}", effects.shares);
    }

    #[test]
    fn a_conditional_parameter_is_weighted_by_the_part_of_the_cube_where_it_is_active() {
        // Only one of two choices has the second parameter, which alone decides its score: 0 or 1.
        // The other choice always scores 1/2.
        let (switch, m) = (plane(800, 0.754_877_666), plane(800, 0.569_840_290));
        let (mut choice, mut momentum, mut target) = (Vec::new(), Vec::new(), Vec::new());
        for (switch, m) in switch.into_iter().zip(m) {
            let (case, value, score) = if switch < 0.5 {
                (0.0, m, if m < 0.5 { 0.0 } else { 1.0 })
            } else {
                (1.0, f64::NAN, 0.5)
            };
            choice.push(case);
            momentum.push(value);
            target.push(score);
        }
        let columns = [
            Column {
                values: choice,
                categories: 2,
            },
            number(momentum),
        ];
        let effects = super::effects(&Forest::grow(&columns, &target, 64, 0)).unwrap();
        assert!(effects.shares[0] < 0.02, "{:?}", effects.shares);
        assert!(effects.shares[1] > 0.95, "{:?}", effects.shares);
    }

    #[test]
    fn the_surface_is_the_mean_prediction_of_the_forest() {
        let (x, z) = (plane(600, 0.754_877_666), plane(600, 0.569_840_290));
        let target: Vec<f64> = x.iter().zip(&z).map(|(x, z)| x * z).collect();
        let forest = Forest::grow(&[number(x), number(z)], &target, 32, 0);
        let cells = surface(&forest, (0, 1), (4, 4));
        for (cell, value) in cells.iter().enumerate() {
            let (x, z) = (
                (cell % 4) as f64 / 4.0 + 0.125,
                (cell / 4) as f64 / 4.0 + 0.125,
            );
            assert!((value.unwrap() - x * z).abs() < 0.08, "{x} {z} {value:?}");
        }
    }

    #[test]
    fn a_constant_has_no_effects() {
        assert_eq!(
            super::effects(&Forest::grow(&[number(plane(10, 0.3))], &[1.0; 10], 8, 0)),
            None
        );
    }
}
