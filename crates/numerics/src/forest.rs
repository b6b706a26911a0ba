//! A random forest for regression (Breiman, Machine Learning 45, 2001) over parameters, some of
//! which may be inactive in some samples.
//!
//! Trees are fully grown on bootstrap samples, and every column is tried at every split, as
//! scikit-learn's `RandomForestRegressor` does by default. A column is split only where it is
//! active in every sample of the node. The effect of a conditional parameter is thereby separated
//! from the effect of its being active.

use super::stream::{Purpose, stream};
use rand::RngExt;
use rayon::prelude::*;
use std::cmp::Ordering;

/// Maximum number of categories of a choice that can be split.
pub const MAX_CATEGORIES: usize = 64;
/// Maximum depth of a node that is split; the root has depth 0.
const MAX_DEPTH: usize = 64;

/// The values of one parameter in all samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// A number in [0, 1] or the index of a category per sample; NaN where the parameter is
    /// inactive.
    pub values: Vec<f64>,
    /// The number of categories; 0 for a number.
    pub categories: usize,
}

/// A node of a tree. Children are given by their index in the tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// A leaf with the mean target of its samples.
    Leaf(f64),
    /// A split of a number: values up to the threshold go left.
    Below {
        column: usize,
        threshold: f64,
        left: usize,
        right: usize,
    },
    /// A split of a choice: the categories in the mask go left.
    Among {
        column: usize,
        mask: u64,
        left: usize,
        right: usize,
    },
}

/// A tree. Node 0 is the root.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Tree {
    /// The nodes; children come after their parents.
    pub(super) nodes: Vec<Node>,
    /// For each node, whether each column is active in all of its samples.
    pub(super) exists: Vec<Vec<bool>>,
    /// The number of samples of each node.
    counts: Vec<usize>,
}

/// A forest of regression trees.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    pub(super) trees: Vec<Tree>,
    /// The number of categories of each column; 0 for a number.
    pub(super) categories: Vec<usize>,
    /// The out-of-bag R²: the share of the variance that the trees explain in samples they were not
    /// grown on. `None` if fewer than four samples are out of bag or they do not vary.
    pub explained: Option<f64>,
    /// The mean prediction of each sample by the trees that were grown without it; `None` if every
    /// tree was grown with it.
    pub out_of_bag: Vec<Option<f64>>,
}

impl Forest {
    /// Grows a forest of `trees` trees, in parallel. Every column and `target` must have the same
    /// length. The same seed gives the same forest.
    #[must_use]
    pub fn grow(columns: &[Column], target: &[f64], trees: usize, seed: u64) -> Self {
        let ranks: Vec<Vec<u32>> = columns.iter().map(ranks).collect();
        let grown: Vec<(Tree, Vec<bool>)> = (0..trees)
            .into_par_iter()
            .map(|tree| {
                let mut rng = stream(seed, Purpose::Measure, tree as u64);
                let count = target.len();
                let sample: Vec<usize> = (0..count)
                    .map(|_| rng.random_range(0..count.max(1)))
                    .collect();
                // Samples that are never drawn are out of bag for this tree.
                let mut drawn = vec![false; count];
                sample.iter().for_each(|index| drawn[*index] = true);
                let growth = Growth::new(columns, &ranks, target, &sample);
                (growth.finish(), drawn)
            })
            .collect();
        let out_of_bag: Vec<Option<f64>> = (0..target.len())
            .into_par_iter()
            .map(|sample| out_of_bag(&grown, columns, sample))
            .collect();
        let categories = columns.iter().map(|column| column.categories).collect();
        Self {
            trees: grown.into_iter().map(|(tree, _)| tree).collect(),
            categories,
            explained: explained(&out_of_bag, target),
            out_of_bag,
        }
    }
}

/// Returns 1 − (mean squared error) / variance over the samples that are out of bag in at least one
/// tree. Each is predicted by those trees only.
fn explained(out_of_bag: &[Option<f64>], target: &[f64]) -> Option<f64> {
    let pairs: Vec<(f64, f64)> = target
        .iter()
        .zip(out_of_bag)
        .filter_map(|(value, prediction)| Some((*value, (*prediction)?)))
        .collect();
    if pairs.len() < 4 {
        return None;
    }
    let mean = pairs.iter().map(|(value, _)| value).sum::<f64>() / pairs.len() as f64;
    let total: f64 = pairs.iter().map(|(value, _)| (value - mean).powi(2)).sum();
    let error: f64 = pairs
        .iter()
        .map(|(value, prediction)| (value - prediction).powi(2))
        .sum();
    (total > 0.0).then(|| 1.0 - error / total)
}

/// Returns the mean prediction of a sample by the trees that were grown without it, or `None` if
/// every tree was grown with it.
fn out_of_bag(grown: &[(Tree, Vec<bool>)], columns: &[Column], sample: usize) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u32);
    for (tree, _) in grown.iter().filter(|(_, drawn)| !drawn[sample]) {
        sum += tree.predict(0, &|column| columns[column].values[sample]);
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

impl Tree {
    /// Returns the prediction at a point, from `node` down. Where the point lacks the column of a
    /// split, returns the mean of both sides, weighted by their samples.
    fn predict(&self, node: usize, point: &dyn Fn(usize) -> f64) -> f64 {
        let (value, goes_left, left, right) = match &self.nodes[node] {
            Node::Leaf(mean) => return *mean,
            Node::Below {
                column,
                threshold,
                left,
                right,
            } => {
                let value = point(*column);
                (value, value <= *threshold, *left, *right)
            }
            Node::Among {
                column,
                mask,
                left,
                right,
            } => {
                let value = point(*column);
                (value, mask >> (value as u64) & 1 == 1, *left, *right)
            }
        };
        if value.is_nan() {
            let (a, b) = (self.counts[left] as f64, self.counts[right] as f64);
            return (self.predict(left, point) * a + self.predict(right, point) * b) / (a + b);
        }
        self.predict(if goes_left { left } else { right }, point)
    }
}

/// A tree being grown. Each node is a range of positions that is the same in the sorted order of
/// every column.
struct Growth<'a> {
    columns: &'a [Column],
    /// For each column, the value at each position of the bootstrap sample.
    values: Vec<Vec<f64>>,
    /// The value to predict at each position of the bootstrap sample.
    targets: Vec<f64>,
    /// For each column, the positions in the bootstrap sample sorted by its value, inactive ones
    /// last.
    orders: Vec<Vec<u32>>,
    /// For each position, whether it goes left; a buffer of [`Growth::part`].
    left: Vec<bool>,
    /// The positions that go right; a buffer of [`Growth::part`].
    right: Vec<u32>,
    /// The tree as far as it is grown. Nodes that can still be split are leaves.
    tree: Tree,
}

/// A split of a node.
struct Cut {
    /// Σ (sum of targets)² / count over both sides; the larger, the less variance is left.
    gain: f64,
    column: usize,
    /// The threshold of a number.
    threshold: f64,
    /// The categories of a choice that go left.
    mask: u64,
}

impl<'a> Growth<'a> {
    /// Sorts the bootstrap sample by every column, of which `ranks` are the [`ranks`].
    fn new(columns: &'a [Column], ranks: &[Vec<u32>], target: &[f64], sample: &[usize]) -> Self {
        // Without columns one order is still needed, to take the mean over.
        let mut orders: Vec<Vec<u32>> = ranks
            .iter()
            .map(|ranks| sorted_positions(ranks, sample))
            .collect();
        if orders.is_empty() {
            orders.push((0..sample.len() as u32).collect());
        }
        let values = columns.iter().map(|column| {
            let values = sample.iter().map(|index| column.values[*index]);
            values.collect()
        });
        Self {
            columns,
            values: values.collect(),
            targets: sample.iter().map(|index| target[*index]).collect(),
            orders,
            left: vec![false; sample.len()],
            right: vec![0; sample.len()],
            tree: Tree::default(),
        }
    }

    /// Grows the tree to its leaves, depth first.
    fn finish(mut self) -> Tree {
        let mut open = vec![(self.node(0, self.targets.len()), 0, self.targets.len(), 0)];
        while let Some((node, from, to, depth)) = open.pop() {
            let Some(cut) = (depth < MAX_DEPTH).then(|| self.cut(from, to)).flatten() else {
                continue;
            };
            let middle = self.part(&cut, from, to);
            let (left, right) = (self.node(from, middle), self.node(middle, to));
            let Cut {
                column,
                threshold,
                mask,
                ..
            } = cut;
            self.tree.nodes[node] = if self.columns[column].categories == 0 {
                Node::Below {
                    column,
                    threshold,
                    left,
                    right,
                }
            } else {
                Node::Among {
                    column,
                    mask,
                    left,
                    right,
                }
            };
            open.push((left, from, middle, depth + 1));
            open.push((right, middle, to, depth + 1));
        }
        self.tree
    }

    /// Returns the value of a column at a position of the bootstrap sample.
    fn value(&self, column: usize, position: u32) -> f64 {
        self.values[column][position as usize]
    }

    /// Returns the value to predict at a position of the bootstrap sample.
    fn target(&self, position: u32) -> f64 {
        self.targets[position as usize]
    }

    /// Appends a leaf for a range of positions and returns its index.
    fn node(&mut self, from: usize, to: usize) -> usize {
        let samples = &self.orders[0][from..to];
        let sum: f64 = samples.iter().map(|position| self.target(*position)).sum();
        let mean = sum / samples.len().max(1) as f64;
        // Inactive samples come last in every order, so the last one decides.
        let exists = (0..self.columns.len())
            .map(|column| {
                self.orders[column][from..to]
                    .last()
                    .is_none_or(|last| !self.value(column, *last).is_nan())
            })
            .collect();
        self.tree.nodes.push(Node::Leaf(mean));
        self.tree.exists.push(exists);
        self.tree.counts.push(to - from);
        self.tree.nodes.len() - 1
    }

    /// Returns the split that leaves the least variance on both sides, or `None` if no split
    /// reduces it.
    fn cut(&self, from: usize, to: usize) -> Option<Cut> {
        if to - from < 2 {
            return None;
        }
        let count = (to - from) as f64;
        let targets = self.orders[0][from..to]
            .iter()
            .map(|position| self.target(*position));
        if targets
            .clone()
            .all(|target| target == self.target(self.orders[0][from]))
        {
            return None;
        }
        let total: f64 = targets.sum();
        let unsplit = total * total / count;
        let mut best: Option<Cut> = None;
        for column in 0..self.columns.len() {
            let order = &self.orders[column][from..to];
            // The column is inactive in some sample of the node.
            if self.value(column, order[order.len() - 1]).is_nan() {
                continue;
            }
            let cut = match self.columns[column].categories {
                0 => self.threshold(column, order, total),
                _ => self.categories(column, order, total),
            };
            // A gain within rounding errors is none.
            if let Some(cut) = cut.filter(|cut| cut.gain > unsplit * (1.0 + 1e-14))
                && best.as_ref().is_none_or(|best| cut.gain > best.gain)
            {
                best = Some(cut);
            }
        }
        best
    }

    /// Returns the best split of a number, halfway between two neighbouring values.
    fn threshold(&self, column: usize, order: &[u32], total: f64) -> Option<Cut> {
        let (mut sum, mut best) = (0.0, None::<Cut>);
        for (seen, pair) in order.windows(2).enumerate() {
            sum += self.target(pair[0]);
            let (low, high) = (self.value(column, pair[0]), self.value(column, pair[1]));
            if low == high {
                continue;
            }
            let (left, right) = ((seen + 1) as f64, (order.len() - seen - 1) as f64);
            let gain = sum * sum / left + (total - sum) * (total - sum) / right;
            if best.as_ref().is_none_or(|best| gain > best.gain) {
                best = Some(Cut {
                    gain,
                    column,
                    threshold: low + (high - low) / 2.0,
                    mask: 0,
                });
            }
        }
        best
    }

    /// Returns the best split of a choice, or `None` if it has too many categories. With categories
    /// in the order of their means, the best subset is always a prefix (Breiman et al., CART, 1984,
    /// section 9.4).
    fn categories(&self, column: usize, order: &[u32], total: f64) -> Option<Cut> {
        let mut sums = [(0.0, 0usize); MAX_CATEGORIES];
        for position in order {
            let sum = sums.get_mut(self.value(column, *position) as usize)?;
            *sum = (sum.0 + self.target(*position), sum.1 + 1);
        }
        // For each category: mean target, sum of targets, number of samples, index.
        let mut present: Vec<(f64, f64, usize, usize)> = sums
            .into_iter()
            .enumerate()
            .filter(|(_, (_, count))| *count > 0)
            .map(|(category, (sum, count))| (sum / count as f64, sum, count, category))
            .collect();
        present.sort_by(|a, b| a.0.total_cmp(&b.0));
        // The last category stays on the right side, which would otherwise be empty.
        present.pop();
        let (mut sum, mut count, mut mask, mut best) = (0.0, 0, 0u64, None::<Cut>);
        for (_, sum_of_category, count_of_category, category) in present {
            sum += sum_of_category;
            count += count_of_category;
            mask |= 1 << category;
            let right = (order.len() - count) as f64;
            let gain = sum * sum / count as f64 + (total - sum) * (total - sum) / right;
            if best.as_ref().is_none_or(|best| gain > best.gain) {
                best = Some(Cut {
                    gain,
                    column,
                    threshold: 0.0,
                    mask,
                });
            }
        }
        best
    }

    /// Partitions a range into left and right in every column's order, keeping the order within
    /// each side. Returns the position at which the right side begins.
    fn part(&mut self, cut: &Cut, from: usize, to: usize) -> usize {
        let numeric = self.columns[cut.column].categories == 0;
        for &position in &self.orders[cut.column][from..to] {
            let value = self.value(cut.column, position);
            self.left[position as usize] = if numeric {
                value <= cut.threshold
            } else {
                cut.mask >> (value as u64) & 1 == 1
            };
        }
        let mut middle = from;
        for order in &mut self.orders {
            let (mut left, mut right) = (from, 0);
            // Both sides are written without a branch, which a processor could not predict.
            for at in from..to {
                let position = order[at];
                let goes_left = self.left[position as usize];
                order[left] = position;
                self.right[right] = position;
                left += usize::from(goes_left);
                right += usize::from(!goes_left);
            }
            order[left..to].copy_from_slice(&self.right[..right]);
            middle = left;
        }
        middle
    }
}

/// Returns the rank of each value of a column, from 0. Equal values have the same rank, and
/// inactive ones the highest.
fn ranks(column: &Column) -> Vec<u32> {
    let values = &column.values;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| compare(values[*a], values[*b]));
    let mut ranks = vec![0; values.len()];
    let mut rank = 0;
    for pair in order.windows(2) {
        if compare(values[pair[0]], values[pair[1]]).is_lt() {
            rank += 1;
        }
        ranks[pair[1]] = rank;
    }
    ranks
}

/// Compares two values of a column, inactive ones last.
fn compare(a: f64, b: f64) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(&b))
}

/// Returns the positions in a bootstrap sample, sorted by the ranks of the samples. Positions with
/// the same rank stay in their order.
fn sorted_positions(ranks: &[u32], sample: &[usize]) -> Vec<u32> {
    // For each rank the place of its next position.
    let mut places = vec![0_u32; ranks.len() + 1];
    for index in sample {
        places[ranks[*index] as usize + 1] += 1;
    }
    for rank in 1..places.len() {
        places[rank] += places[rank - 1];
    }
    let mut order = vec![0; sample.len()];
    for (position, index) in (0..).zip(sample) {
        let place = &mut places[ranks[*index] as usize];
        order[*place as usize] = position;
        *place += 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::{Column, Forest, ranks, sorted_positions};

    fn grid() -> (Vec<f64>, Vec<f64>) {
        (0..200)
            .map(|cell| ((cell % 20) as f64 / 20.0, (cell / 20) as f64 / 10.0))
            .unzip()
    }

    #[test]
    fn a_forest_explains_a_step_and_not_noise() {
        let (x, z) = grid();
        let step: Vec<f64> = x.iter().map(|x| if *x < 0.5 { 0.0 } else { 1.0 }).collect();
        let columns = [
            Column {
                values: x,
                categories: 0,
            },
            Column {
                values: z,
                categories: 0,
            },
        ];
        let forest = Forest::grow(&columns, &step, 32, 0);
        assert!(forest.explained.unwrap() > 0.99, "{:?}", forest.explained);
        let noise: Vec<f64> = (0..200)
            .map(|index| f64::from(index * 7919 % 104_729 % 101))
            .collect();
        assert!(Forest::grow(&columns, &noise, 32, 0).explained.unwrap() < 0.3);
    }

    #[test]
    fn positions_are_sorted_by_value_then_by_place_and_inactive_ones_come_last() {
        let values = vec![0.5, f64::NAN, 0.25, 0.5, 0.0, f64::NAN];
        let column = Column {
            values,
            categories: 0,
        };
        let sample = [1, 3, 0, 0, 4, 5, 2, 3];
        let order = sorted_positions(&ranks(&column), &sample);
        assert_eq!(order, [4, 6, 1, 2, 3, 7, 0, 5]);
    }

    #[test]
    fn the_same_seed_gives_the_same_forest() {
        let (x, z) = grid();
        let columns = [Column {
            values: x.clone(),
            categories: 0,
        }];
        assert_eq!(
            Forest::grow(&columns, &z, 8, 3),
            Forest::grow(&columns, &z, 8, 3)
        );
        assert_ne!(
            Forest::grow(&columns, &z, 8, 3),
            Forest::grow(&columns, &z, 8, 4)
        );
    }

    #[test]
    fn a_forest_without_columns_samples_or_variance_explains_nothing() {
        assert_eq!(Forest::grow(&[], &[1.0, 2.0], 4, 0).explained, None);
        let forest = Forest::grow(
            &[Column {
                values: vec![],
                categories: 0,
            }],
            &[],
            4,
            0,
        );
        assert_eq!(forest.explained, None);
        let constant = Column {
            values: vec![f64::NAN; 30],
            categories: 3,
        };
        assert!(
            Forest::grow(&[constant], &[1.0; 30], 4, 0)
                .explained
                .is_none()
        );
    }
}
