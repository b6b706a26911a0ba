//! Detects a step that is reported again with another value. This happens when several processes of
//! one trial report without their ranks.

use std::collections::BTreeMap;
use swath_model::space::Name;
use swath_model::study::{Datum, axis};

/// Maximum number of remembered values. Beyond it all are forgotten, because the processes of a
/// trial are never far apart.
const MANY: usize = 4096;

/// The deciding values of the reported steps.
#[derive(Default)]
pub(super) struct Repeats {
    /// By the bits of a step and the index of a deciding metric, the value that was reported first.
    values: BTreeMap<(u64, usize), f64>,
    is_warned: bool,
}

impl Repeats {
    /// Checks a report whose step is the value of `key` against earlier reports. Returns the text
    /// of a warning, once.
    pub(super) fn check(
        &mut self,
        values: &[(Name, Datum)],
        key: Option<&Name>,
        deciding: &[Name],
    ) -> Option<String> {
        let key = key.filter(|_| !self.is_warned)?;
        let step = axis::number(values, key)?;
        if self.values.len() >= MANY {
            self.values.clear();
        }
        for (index, name) in deciding.iter().enumerate().filter(|(_, name)| *name != key) {
            let Some(value) = axis::number(values, name) else {
                continue;
            };
            let before = *self.values.entry((step.to_bits(), index)).or_insert(value);
            if before != value {
                self.is_warned = true;
                self.values.clear();
                return Some(format!(
                    "`{name}` was {before} at {key} {step} and is {value} there now; both \
                     reports count. If several processes of the trial report, each must \
                     report its `rank`: only rank 0 decides"
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Repeats;
    use swath_model::space::Name;
    use swath_model::study::{Datum, Metric};

    #[test]
    fn a_step_with_two_values_is_warned_of_once_with_both() {
        let mut repeats = Repeats::default();
        let (epoch, deciding) = (Name::from("epoch"), ["loss".into(), "epoch".into()]);
        let mut check = |values: &[(&str, f64)]| {
            let datum =
                |(name, value): &(&str, f64)| ((*name).into(), Datum::Number(Metric(*value)));
            let values: Vec<_> = values.iter().map(datum).collect();
            repeats.check(&values, Some(&epoch), &deciding)
        };
        assert_eq!(
            check(&[("epoch", 1.0), ("loss", 0.5), ("seconds", 3.0)]),
            None
        );
        assert_eq!(
            check(&[("epoch", 1.0), ("loss", 0.5), ("seconds", 4.0)]),
            None,
            "only deciding metrics count"
        );
        assert_eq!(check(&[("epoch", 2.0), ("seconds", 4.0)]), None);
        assert_eq!(
            check(&[("epoch", 2.0), ("loss", 0.4)]),
            None,
            "a step may be reported in parts"
        );
        assert_eq!(
            check(&[("loss", 0.3)]),
            None,
            "without a step nothing is repeated"
        );
        let warning = check(&[("epoch", 1.0), ("loss", 0.25)]).unwrap();
        assert!(
            warning.starts_with("`loss` was 0.5 at epoch 1 and is 0.25 there now; "),
            "{warning}"
        );
        assert_eq!(check(&[("epoch", 2.0), ("loss", 0.2)]), None, "once");
    }
}
