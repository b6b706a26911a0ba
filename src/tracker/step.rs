//! Which step a report stands at.

use crate::space::Name;
use crate::study::Datum;

/// Keys that count, by themselves.
pub(crate) const COUNTERS: [&str; 4] = ["step", "epoch", "iteration", "training_iteration"];

/// Returns the whole number under the study's resource, else under the first of `step`, `epoch`, `iteration` and `training_iteration`, else
/// `ordinal`: how many reports came before.
pub(super) fn of_report(values: &[(Name, Datum)], resource: Option<&Name>, ordinal: u64) -> i64 {
    let number = |key: &str| {
        values.iter().find_map(|(name, datum)| match datum {
            Datum::Number(number) if **name == *key => whole(number.0),
            _ => None,
        })
    };
    let resource = resource.and_then(|name| number(name));
    resource.or_else(|| COUNTERS.into_iter().find_map(number)).unwrap_or(ordinal as i64)
}

/// Returns a step that is a whole number.
pub(super) fn whole(step: f64) -> Option<i64> {
    (step.fract() == 0.0 && step.abs() < 1e15).then_some(step as i64)
}

#[cfg(test)]
mod tests {
    use super::of_report;
    use crate::study::{Datum, Metric};

    #[test]
    fn the_resource_counts_before_the_usual_names_and_those_before_the_order() {
        let report = [("loss", 0.5), ("epoch", 3.0), ("rows", 7.0), ("step", 0.5)]
            .map(|(name, number)| (name.into(), Datum::Number(Metric(number))));
        assert_eq!(of_report(&report, Some(&"rows".into()), 9), 7);
        assert_eq!(of_report(&report, Some(&"gone".into()), 9), 3);
        assert_eq!(of_report(&report[..1], None, 9), 9);
    }
}
