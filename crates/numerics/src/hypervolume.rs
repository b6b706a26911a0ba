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

#[cfg(test)]
mod tests {
    use super::hypervolume;

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
