//! Many objectives: who is better than whom, and who fills the front best.

use crate::numerics::hypervolume::hypervolume;

/// Returns whether `a` is at least as good as `b` in every objective and better in one; smaller is better.
pub(super) fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// Returns the indices of `scores` from best to worst: by front, within a front the least crowded first. One with a violation comes after all
/// without, and after those with a smaller one (constrained domination, section VI).
///
/// Deb, Pratap, Agarwal & Meyarivan, *A fast and elitist multiobjective genetic algorithm: NSGA-II*, IEEE TEC 6(2), 2002. O(m n²).
pub(super) fn order(scores: &[&[f64]], violations: &[f64]) -> Vec<usize> {
    let (mut left, mut broken): (Vec<usize>, Vec<usize>) =
        (0..scores.len()).partition(|at| violations[*at] == 0.0);
    broken.sort_by(|a, b| {
        let first = |at: &usize| scores[*at].first().copied().unwrap_or(0.0);
        violations[*a].total_cmp(&violations[*b]).then(first(a).total_cmp(&first(b))).then(a.cmp(b))
    });
    let mut sorted = Vec::with_capacity(left.len());
    if scores.first().is_some_and(|first| first.len() == 1) {
        left.sort_by(|a, b| scores[*a][0].total_cmp(&scores[*b][0]).then(a.cmp(b)));
        left.extend(broken);
        return left;
    }
    for front in fronts(scores, left) {
        let room = crowding(scores, &front);
        let mut by_room: Vec<usize> = (0..front.len()).collect();
        by_room.sort_by(|a, b| room[*b].total_cmp(&room[*a]).then(front[*a].cmp(&front[*b])));
        sorted.extend(by_room.into_iter().map(|at| front[at]));
    }
    sorted.extend(broken);
    sorted
}

/// Splits indices of `scores` into those that nobody among them beats, those that only these beat, and so on.
pub(super) fn fronts(scores: &[&[f64]], mut left: Vec<usize>) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    while !left.is_empty() {
        let beaten = |at: &usize| left.iter().any(|other| dominates(scores[*other], scores[*at]));
        let (rest, front) = left.iter().partition(|at| beaten(at));
        found.push(front);
        left = rest;
    }
    found
}

/// Moves points into the unit cube, so that what each dominates up to 1.1 in every coordinate can be compared.
pub(super) fn scaled(points: &[&[f64]]) -> Vec<Vec<f64>> {
    let count = points.first().map_or(0, |point| point.len());
    let mut scaled = vec![Vec::with_capacity(count); points.len()];
    for objective in 0..count {
        let halves = || points.iter().map(|point| point[objective] / 2.0);
        let (low, high) =
            (halves().fold(f64::INFINITY, f64::min), halves().fold(f64::NEG_INFINITY, f64::max));
        let range = high - low;
        for (point, x) in scaled.iter_mut().zip(halves()) {
            point.push(if range > 0.0 { (x - low) / range } else { 0.0 });
        }
    }
    scaled
}

/// Returns the volume that a point adds to that of others, all from [`scaled`].
pub(super) fn contribution(point: &[f64], others: &[&Vec<f64>]) -> f64 {
    let reference = vec![1.1; point.len()];
    let own: f64 = point.iter().map(|x| 1.1 - x).product();
    let shadow =
        |other: &&Vec<f64>| -> Vec<f64> { other.iter().zip(point).map(|(a, b)| a.max(*b)).collect() };
    let shadows: Vec<Vec<f64>> = others.iter().map(shadow).collect();
    let edge = |at: &usize| {
        !shadows.iter().enumerate().any(|(other, shadow)| {
            dominates(shadow, &shadows[*at]) || (other < *at && shadow == &shadows[*at])
        })
    };
    let kept: Vec<Vec<f64>> = (0..shadows.len()).filter(edge).map(|at| shadows[at].clone()).collect();
    (own - hypervolume(&kept, &reference)).max(0.0)
}

/// Chooses `count` points that together dominate much: each in turn the one that adds most (Guerreiro, Fonseca & Paquete, 2016).
pub(super) fn widest(points: &[Vec<f64>], count: usize) -> Vec<usize> {
    let mut adds: Vec<(f64, usize)> =
        points.iter().enumerate().map(|(at, point)| (contribution(point, &[]), at)).collect();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < count && !adds.is_empty() {
        // What a point adds only falls as others are chosen, so one that still adds most when asked again is the one.
        let lead = |adds: &[(f64, usize)]| {
            let better =
                |a: &usize, b: &usize| adds[*a].0.total_cmp(&adds[*b].0).then(adds[*b].1.cmp(&adds[*a].1));
            (0..adds.len()).max_by(better)
        };
        let Some(first) = lead(&adds) else { break };
        let others: Vec<&Vec<f64>> = chosen.iter().map(|at| &points[*at]).collect();
        adds[first].0 = contribution(&points[adds[first].1], &others);
        if lead(&adds) == Some(first) {
            chosen.push(adds.swap_remove(first).1);
        }
    }
    chosen
}

/// Returns for each of a front how far its neighbours are apart, infinite at the ends: section III B.
fn crowding(scores: &[&[f64]], front: &[usize]) -> Vec<f64> {
    let mut room = vec![0.0; front.len()];
    let objectives = front.first().map_or(0, |at| scores[*at].len());
    let column = |objective: usize| front.iter().map(|at| scores[*at][objective] / 2.0).collect::<Vec<f64>>();
    for values in (0..objectives).map(column) {
        let mut sorted: Vec<usize> = (0..front.len()).collect();
        sorted.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { continue };
        room[*first] = f64::INFINITY;
        room[*last] = f64::INFINITY;
        let range = values[*last] - values[*first];
        for three in sorted.windows(3) {
            let gap = values[three[2]] - values[three[0]];
            room[three[1]] += if range > 0.0 { gap / range } else { 0.0 };
        }
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fronts_come_in_order_and_the_ends_of_a_front_first() {
        let scores: [&[f64]; 6] =
            [&[3.0, 3.0], &[0.0, 2.0], &[1.0, 1.0], &[2.0, 0.0], &[1.2, 0.9], &[2.5, 2.5]];
        assert_eq!(order(&scores, &[0.0; 6]), [1, 3, 2, 4, 5, 0]);
        assert_eq!(
            order(&scores, &[0.0, 2.0, 0.0, 0.5, 0.0, 0.0]),
            [2, 4, 5, 0, 3, 1],
            "what breaks a limit comes last"
        );
    }

    #[test]
    fn what_a_point_adds_is_the_difference_of_the_volumes() {
        let points = scaled(&[&[0.0, 9.0, 3.0], &[5.0, 5.0, 1.0], &[9.0, 0.0, 2.0], &[4.0, 6.0, 0.0]]);
        let whole = hypervolume(&points, &[1.1; 3]);
        for at in 0..points.len() {
            let others: Vec<Vec<f64>> =
                points.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, p)| p.clone()).collect();
            let without = hypervolume(&others, &[1.1; 3]);
            let found = contribution(&points[at], &others.iter().collect::<Vec<_>>());
            assert!((whole - without - found).abs() < 1e-12, "{at}: {found}");
        }
    }

    #[test]
    fn the_widest_choice_takes_the_knee_and_then_the_ends() {
        let points = scaled(&[&[0.0, 10.0], &[0.1, 9.99], &[2.0, 2.0], &[2.2, 1.9], &[10.0, 0.0]]);
        let mut found = widest(&points, 3);
        assert_eq!(found[0], 2);
        found.sort_unstable();
        assert_eq!(found, [0, 2, 4]);
        assert_eq!(widest(&points, 9).len(), 5);
    }

    #[test]
    fn equals_do_not_dominate_each_other() {
        assert!(!dominates(&[1.0, 2.0], &[1.0, 2.0]) && dominates(&[1.0, 1.0], &[1.0, 2.0]));
    }
}
