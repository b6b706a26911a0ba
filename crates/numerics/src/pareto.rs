//! Comparison of points in several objectives: dominance, non-dominated fronts, crowding distance,
//! and selection by hypervolume or spread.

use super::hypervolume::hypervolume;

/// Returns whether `a` dominates `b`: it is at least as good in every objective and better in one.
/// Smaller is better.
#[must_use]
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// Returns the indices of `scores` from best to worst: by front, and within a front by crowding
/// distance, the least crowded first. A point with a violation comes after all points without one,
/// and after points with a smaller violation (constrained domination, section VI).
///
/// Deb, Pratap, Agarwal & Meyarivan, *A fast and elitist multiobjective genetic algorithm:
/// NSGA-II*, IEEE TEC 6(2), 2002. O(m n²).
#[must_use]
pub fn order(scores: &[&[f64]], violations: &[f64]) -> Vec<usize> {
    let (mut feasible, mut infeasible): (Vec<usize>, Vec<usize>) =
        (0..scores.len()).partition(|point| violations[*point] == 0.0);
    infeasible.sort_by(|a, b| {
        violations[*a]
            .total_cmp(&violations[*b])
            .then(first_score(scores[*a]).total_cmp(&first_score(scores[*b])))
            .then(a.cmp(b))
    });
    let mut sorted = Vec::with_capacity(scores.len());
    // With one objective a sort gives the same order without the cost of fronts.
    if scores.first().is_some_and(|first| first.len() == 1) {
        feasible.sort_by(|a, b| scores[*a][0].total_cmp(&scores[*b][0]).then(a.cmp(b)));
        feasible.extend(infeasible);
        return feasible;
    }
    for front in fronts(scores, feasible) {
        let distances = crowding_distances(scores, &front);
        let mut members: Vec<usize> = (0..front.len()).collect();
        members.sort_by(|a, b| {
            distances[*b]
                .total_cmp(&distances[*a])
                .then(front[*a].cmp(&front[*b]))
        });
        sorted.extend(members.into_iter().map(|member| front[member]));
    }
    sorted.extend(infeasible);
    sorted
}

/// Returns the score in the first objective; 0 if there is no objective.
fn first_score(scores: &[f64]) -> f64 {
    scores.first().copied().unwrap_or(0.0)
}

/// Splits the points with these indices into non-dominated fronts: first the points that no other
/// dominates, then those that only the first front dominates, and so on.
#[must_use]
pub fn fronts(scores: &[&[f64]], mut indices: Vec<usize>) -> Vec<Vec<usize>> {
    let mut fronts = Vec::new();
    while !indices.is_empty() {
        let (dominated, front) = indices.iter().partition(|point| {
            indices
                .iter()
                .any(|other| dominates(scores[*other], scores[**point]))
        });
        fronts.push(front);
        indices = dominated;
    }
    fronts
}

/// Scales points into the unit cube, each objective from its lowest to its highest value.
/// Hypervolumes up to the reference 1.1 in every coordinate can then be compared. An objective that
/// does not vary becomes 0.
#[must_use]
pub fn scaled(points: &[&[f64]]) -> Vec<Vec<f64>> {
    let count = points.first().map_or(0, |point| point.len());
    let mut scaled = vec![Vec::with_capacity(count); points.len()];
    for objective in 0..count {
        // Halves, because the difference of two finite numbers can be infinite.
        let halves = points.iter().map(|point| point[objective] / 2.0);
        let low = halves.clone().fold(f64::INFINITY, f64::min);
        let high = halves.clone().fold(f64::NEG_INFINITY, f64::max);
        let range = high - low;
        for (point, x) in scaled.iter_mut().zip(halves) {
            point.push(if range > 0.0 { (x - low) / range } else { 0.0 });
        }
    }
    scaled
}

/// Returns the hypervolume that a point adds to that of others. All points come from [`scaled`].
#[must_use]
pub fn contribution(point: &[f64], others: &[&Vec<f64>]) -> f64 {
    let reference = vec![1.1; point.len()];
    let own: f64 = point.iter().map(|x| 1.1 - x).product();
    // The overlap of two dominated boxes is again a box, with its corner at the larger coordinates.
    let overlaps: Vec<Vec<f64>> = others
        .iter()
        .map(|other| other.iter().zip(point).map(|(a, b)| a.max(*b)).collect())
        .collect();
    // Dominated corners add nothing to the union; without them the exact volume is cheaper.
    let front: Vec<Vec<f64>> = (0..overlaps.len())
        .filter(|index| is_first_undominated(&overlaps, *index))
        .map(|index| overlaps[index].clone())
        .collect();
    (own - hypervolume(&front, &reference)).max(0.0)
}

/// Returns whether no other point dominates the point with this index, and no equal point comes
/// before it.
fn is_first_undominated(points: &[Vec<f64>], index: usize) -> bool {
    let point = &points[index];
    !points.iter().any(|other| dominates(other, point)) && !points[..index].contains(point)
}

/// Chooses `count` points of large joint hypervolume, greedily: each in turn is the one that adds
/// most (Guerreiro, Fonseca & Paquete, 2016). Returns their indices in the order of choice.
#[must_use]
pub fn widest(points: &[Vec<f64>], count: usize) -> Vec<usize> {
    let mut contributions: Vec<(f64, usize)> = points
        .iter()
        .enumerate()
        .map(|(index, point)| (contribution(point, &[]), index))
        .collect();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < count {
        // The contribution of a point only falls as others are chosen. A point that is still the
        // first after its contribution was updated is therefore the right choice, and the others
        // need no update.
        let Some(first) = largest_contribution(&contributions) else {
            break;
        };
        let others: Vec<&Vec<f64>> = chosen.iter().map(|index| &points[*index]).collect();
        contributions[first].0 = contribution(&points[contributions[first].1], &others);
        if largest_contribution(&contributions) == Some(first) {
            chosen.push(contributions.swap_remove(first).1);
        }
    }
    chosen
}

/// Returns the position of the largest contribution; of equal ones, that of the lowest point index.
fn largest_contribution(contributions: &[(f64, usize)]) -> Option<usize> {
    (0..contributions.len()).max_by(|a, b| {
        let (a, b) = (contributions[*a], contributions[*b]);
        a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))
    })
}

/// Returns the indices of points in an order of which every beginning is spread over all points:
/// first the point nearest to the best values of all objectives, then always the point farthest
/// from those before. At most `count` points are ordered.
///
/// This is farthest-first traversal, the epsilon-net that Schmucker et al., *Multi-objective
/// Asynchronous Successive Halving*, 2021 (arXiv 2106.12639), found to promote best. They begin
/// with the best point of one objective; the point in the middle prefers none. O(count · n · m).
#[must_use]
pub fn spread(points: &[&[f64]], count: usize) -> Vec<usize> {
    let points = scaled(points);
    let sums: Vec<f64> = points.iter().map(|point| point.iter().sum()).collect();
    let mut order: Vec<usize> = (0..points.len())
        .min_by(|a, b| sums[*a].total_cmp(&sums[*b]).then(a.cmp(b)))
        .into_iter()
        .collect();
    let mut distances = vec![f64::INFINITY; points.len()];
    while let Some(last) = order
        .last()
        .copied()
        .filter(|_| order.len() < count.min(points.len()))
    {
        for (distance, point) in distances.iter_mut().zip(&points) {
            let squares = point
                .iter()
                .zip(&points[last])
                .map(|(a, b)| (a - b) * (a - b));
            *distance = distance.min(squares.sum());
        }
        // Equal points are at distance 0 from each other, so a chosen point is marked by −1.
        distances[last] = -1.0;
        order.extend(
            (0..points.len()).max_by(|a, b| distances[*a].total_cmp(&distances[*b]).then(b.cmp(a))),
        );
    }
    order.truncate(count);
    order
}

/// Points in their non-dominated fronts, updated incrementally.
///
/// All results depend on the set of points alone, not on the order of insertion. All values must be
/// finite; smaller is better.
#[derive(Debug, Clone, PartialEq)]
pub struct Fronts<K> {
    /// Pairs of point and key, front by front, the non-dominated one first.
    fronts: Vec<Vec<(Vec<f64>, K)>>,
}

impl<K> Default for Fronts<K> {
    fn default() -> Self {
        Self { fronts: Vec::new() }
    }
}

impl<K: Copy + Ord> Fronts<K> {
    /// Adds a point. Each front is scanned at most once, and most are not scanned at all.
    ///
    /// Li, Deb, Zhang & Zhang, *Efficient Nondomination Level Update Method for Steady-State
    /// Evolutionary Multiobjective Optimization*, IEEE Transactions on Cybernetics 47(9), 2017.
    pub fn insert(&mut self, point: Vec<f64>, key: K) {
        let mut rank = self.front(&point);
        let mut moving = vec![(point, key)];
        while !moving.is_empty() {
            let Some(front) = self.fronts.get_mut(rank) else {
                self.fronts.push(moving);
                return;
            };
            // Points that a new one dominates move down one front, and push others in turn.
            let (pushed, kept) = std::mem::take(front)
                .into_iter()
                .partition(|(point, _)| moving.iter().any(|(new, _)| dominates(new, point)));
            *front = kept;
            front.append(&mut moving);
            moving = pushed;
            rank += 1;
        }
    }

    /// Removes the point of `key`; does nothing if there is none. The fronts are then rebuilt by
    /// O(n) insertions.
    pub fn remove(&mut self, key: K) {
        if !self.fronts.iter().flatten().any(|(_, other)| *other == key) {
            return;
        }
        for (point, other) in std::mem::take(self).into_points() {
            if other != key {
                self.insert(point, other);
            }
        }
    }

    /// Returns all points with their keys, front by front.
    pub fn into_points(self) -> impl Iterator<Item = (Vec<f64>, K)> {
        self.fronts.into_iter().flatten()
    }

    /// Returns the number of points.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fronts.iter().map(Vec::len).sum()
    }

    /// Returns whether there are no points.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fronts.is_empty()
    }

    /// Returns the front that a point is or would be in, from 0 for the non-dominated front.
    #[must_use]
    pub fn front(&self, point: &[f64]) -> usize {
        // If a front has a member that dominates the point, every front before it has one too. The
        // fronts can therefore be searched by bisection.
        self.fronts
            .partition_point(|front| front.iter().any(|(other, _)| dominates(other, point)))
    }

    /// Returns the position that a point has or would have in [`ranked`](Self::ranked), from 0.
    #[must_use]
    pub fn position(&self, point: &[f64], key: K) -> usize {
        let rank = self.front(point);
        let before: usize = self.fronts[..rank].iter().map(Vec::len).sum();
        let mut front = self.sorted(rank);
        let member = (point, key);
        if !front.contains(&member) {
            let index = front.partition_point(|other| compare(other, &member).is_lt());
            front.insert(index, member);
        }
        let points: Vec<&[f64]> = front.iter().map(|(point, _)| *point).collect();
        let order = spread(&points, points.len());
        let within = order.iter().position(|member| front[*member].1 == key);
        before + within.unwrap_or(0)
    }

    /// Returns the keys of the first `count` points: front by front, and within a front by
    /// [`spread`].
    #[must_use]
    pub fn ranked(&self, count: usize) -> Vec<K> {
        let mut ranked = Vec::new();
        for rank in 0..self.fronts.len() {
            let front = self.sorted(rank);
            let points: Vec<&[f64]> = front.iter().map(|(point, _)| *point).collect();
            ranked.extend(
                spread(&points, count - ranked.len())
                    .into_iter()
                    .map(|member| front[member].1),
            );
            if ranked.len() >= count {
                break;
            }
        }
        ranked
    }

    /// Returns the keys of the non-dominated points, in the order of [`ranked`](Self::ranked).
    #[must_use]
    pub fn undominated(&self) -> Vec<K> {
        self.ranked(self.fronts.first().map_or(0, Vec::len))
    }

    /// Returns the members of a front in an order that does not depend on the insertions: by value,
    /// then by key.
    fn sorted(&self, rank: usize) -> Vec<(&[f64], K)> {
        let front = self.fronts.get(rank).into_iter().flatten();
        let mut front: Vec<(&[f64], K)> = front.map(|(point, key)| (&**point, *key)).collect();
        front.sort_by(compare);
        front
    }
}

/// Orders points by their values, then by their keys.
fn compare<K: Ord>(a: &(&[f64], K), b: &(&[f64], K)) -> std::cmp::Ordering {
    let values = a.0.iter().zip(b.0).map(|(a, b)| a.total_cmp(b));
    values
        .fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        .then_with(|| a.1.cmp(&b.1))
}

/// Returns the crowding distance of each member of a front (section III B): the sum over the
/// objectives of the gap between its neighbours, relative to the range. Infinite at the ends of an
/// objective.
fn crowding_distances(scores: &[&[f64]], front: &[usize]) -> Vec<f64> {
    let mut distances = vec![0.0; front.len()];
    let objectives = front.first().map_or(0, |point| scores[*point].len());
    // Halves, because the difference of two finite numbers can be infinite.
    let columns = (0..objectives).map(|objective| -> Vec<f64> {
        let column = front.iter().map(|point| scores[*point][objective] / 2.0);
        column.collect()
    });
    for values in columns {
        let mut sorted: Vec<usize> = (0..front.len()).collect();
        sorted.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
            continue;
        };
        distances[*first] = f64::INFINITY;
        distances[*last] = f64::INFINITY;
        let range = values[*last] - values[*first];
        for neighbours in sorted.windows(3) {
            let gap = values[neighbours[2]] - values[neighbours[0]];
            distances[neighbours[1]] += if range > 0.0 { gap / range } else { 0.0 };
        }
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fronts_come_in_order_and_the_ends_of_a_front_first() {
        let scores: [&[f64]; 6] = [
            &[3.0, 3.0],
            &[0.0, 2.0],
            &[1.0, 1.0],
            &[2.0, 0.0],
            &[1.2, 0.9],
            &[2.5, 2.5],
        ];
        assert_eq!(order(&scores, &[0.0; 6]), [1, 3, 2, 4, 5, 0]);
        assert_eq!(
            order(&scores, &[0.0, 2.0, 0.0, 0.5, 0.0, 0.0]),
            [2, 4, 5, 0, 3, 1],
            "points with a violation come last"
        );
    }

    #[test]
    fn the_contribution_of_a_point_is_the_difference_of_the_volumes() {
        let points = scaled(&[
            &[0.0, 9.0, 3.0],
            &[5.0, 5.0, 1.0],
            &[9.0, 0.0, 2.0],
            &[4.0, 6.0, 0.0],
        ]);
        let total = hypervolume(&points, &[1.1; 3]);
        for index in 0..points.len() {
            let others: Vec<Vec<f64>> = points
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .map(|(_, p)| p.clone())
                .collect();
            let without = hypervolume(&others, &[1.1; 3]);
            let added = contribution(&points[index], &others.iter().collect::<Vec<_>>());
            assert!((total - without - added).abs() < 1e-12, "{index}: {added}");
        }
    }

    #[test]
    fn the_widest_choice_takes_the_knee_and_then_the_ends() {
        let points = scaled(&[
            &[0.0, 10.0],
            &[0.1, 9.99],
            &[2.0, 2.0],
            &[2.2, 1.9],
            &[10.0, 0.0],
        ]);
        let mut chosen = widest(&points, 3);
        assert_eq!(chosen[0], 2);
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 2, 4]);
        assert_eq!(widest(&points, 9).len(), 5);
    }

    #[test]
    fn the_spread_begins_in_the_middle_and_takes_the_ends_before_crowded_points() {
        let points: [&[f64]; 6] = [
            &[0.0, 10.0],
            &[1.0, 6.0],
            &[2.0, 2.0],
            &[2.2, 1.9],
            &[6.0, 1.0],
            &[10.0, 0.0],
        ];
        assert_eq!(spread(&points, 3), [2, 0, 5]);
        assert_eq!(
            spread(&points, 9).last(),
            Some(&3),
            "the point beside a chosen one comes last"
        );
        assert_eq!(
            spread(&[&[1.0, 1.0], &[1.0, 1.0], &[1.0, 1.0]], 3),
            [0, 1, 2]
        );
        assert_eq!(spread(&[], 3), [0; 0]);
    }

    /// Generates points with few distinct values, so that many are equal or dominate each other.
    fn points() -> impl proptest::strategy::Strategy<Value = Vec<Vec<f64>>> {
        use proptest::prelude::*;
        prop::collection::vec(
            prop::collection::vec((0..6i32).prop_map(f64::from), 3),
            0..40,
        )
    }

    proptest::proptest! {
        #[test]
        fn fronts_built_by_insertion_equal_those_sorted_at_once(points in points()) {
            let mut grown = Fronts::default();
            for (key, point) in points.iter().enumerate() {
                grown.insert(point.clone(), key);
            }
            let scores: Vec<&[f64]> = points.iter().map(Vec::as_slice).collect();
            let sorted = fronts(&scores, (0..points.len()).collect());
            for (rank, front) in sorted.into_iter().enumerate() {
                for key in front {
                    proptest::prop_assert_eq!(grown.front(&points[key]), rank);
                }
            }
        }

        #[test]
        fn ranks_depend_on_the_points_alone(points in points(), removed in 0..40usize) {
            let mut one = Fronts::default();
            let mut other = Fronts::default();
            for (key, point) in points.iter().enumerate() {
                one.insert(point.clone(), key);
            }
            one.remove(removed);
            for (key, point) in points.iter().enumerate().rev().filter(|(key, _)| *key != removed) {
                other.insert(point.clone(), key);
            }
            let ranked = one.ranked(points.len());
            proptest::prop_assert_eq!(&ranked, &other.ranked(points.len()));
            for (position, key) in ranked.iter().enumerate() {
                proptest::prop_assert_eq!(one.position(&points[*key], *key), position);
            }
            proptest::prop_assert_eq!(one.ranked(3), &ranked[..ranked.len().min(3)]);
        }
    }

    #[test]
    fn equal_points_do_not_dominate_each_other() {
        assert!(!dominates(&[1.0, 2.0], &[1.0, 2.0]) && dominates(&[1.0, 1.0], &[1.0, 2.0]));
    }
}
