//! Many objectives: who is better than whom, and who fills the front best.

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
    while !left.is_empty() {
        let beaten = |at: &usize| left.iter().any(|other| dominates(scores[*other], scores[*at]));
        let (rest, mut front): (Vec<usize>, Vec<usize>) = left.iter().partition(|at| beaten(at));
        let room = crowding(scores, &front);
        let mut by_room: Vec<usize> = (0..front.len()).collect();
        by_room.sort_by(|a, b| room[*b].total_cmp(&room[*a]).then(front[*a].cmp(&front[*b])));
        front = by_room.into_iter().map(|at| front[at]).collect();
        sorted.extend(front);
        left = rest;
    }
    sorted.extend(broken);
    sorted
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
    fn equals_do_not_dominate_each_other() {
        assert!(!dominates(&[1.0, 2.0], &[1.0, 2.0]) && dominates(&[1.0, 1.0], &[1.0, 2.0]));
    }
}
