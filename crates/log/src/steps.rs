//! Detects metrics whose step goes backwards; warns once per metric.

/// Maximum number of metrics that are checked. Further ones are not checked.
const MANY: usize = 200;

/// The last step of each metric, in the order in which the metrics first appeared.
#[derive(Default)]
pub(crate) struct Steps {
    courses: Vec<Course>,
    /// The index of the last row's metric, a guess for the next row.
    latest: usize,
}

/// A metric of one log, in one context, of one worker.
struct Course {
    log: String,
    context: String,
    name: String,
    rank: u64,
    step: f64,
    told: bool,
}

/// The position of a row: its log, context, worker and step.
pub(super) struct Place<'a> {
    pub(super) log: &'a str,
    pub(super) context: &'a str,
    pub(super) rank: u64,
    pub(super) step: f64,
}

impl Steps {
    /// Checks the step of a row, which is identified by its first metric `name`. Returns the text
    /// of a warning if the step went backwards.
    pub(super) fn look(&mut self, name: &str, place: &Place<'_>) -> Option<String> {
        let is = |known: &Course| {
            known.name == name
                && known.log == place.log
                && known.context == place.context
                && known.rank == place.rank
        };
        let likely = self.courses.get(self.latest).is_some_and(is);
        let at = if likely {
            Some(self.latest)
        } else {
            self.courses.iter().position(is)
        };
        let Some(at) = at else {
            if self.courses.len() < MANY {
                self.latest = self.courses.len();
                self.courses.push(Course {
                    log: place.log.to_owned(),
                    context: place.context.to_owned(),
                    name: name.to_owned(),
                    rank: place.rank,
                    step: place.step,
                    told: false,
                });
            }
            return None;
        };
        self.latest = at;
        let course = &mut self.courses[at];
        let before = std::mem::replace(&mut course.step, place.step);
        // NaN has no order, so a step that is NaN cannot go backwards.
        if course.told || place.step >= before || before.is_nan() || place.step.is_nan() {
            return None;
        }
        course.told = true;
        Some(format!(
            "`{name}` in the log `{}` comes at step {} after step {before}; all is kept as it came. If the step begins anew in each epoch, give it as \
             `batch` and the epoch as `step`",
            place.log, place.step
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Steps};

    #[test]
    fn a_step_that_goes_backwards_is_told_once_a_metric_log_context_and_worker() {
        let mut steps = Steps::default();
        let mut look = |name: &str, log: &str, context: &str, rank: u64, step: f64| {
            steps
                .look(
                    name,
                    &Place {
                        log,
                        context,
                        rank,
                        step,
                    },
                )
                .is_some()
        };
        assert!(!look("loss", "train", "", 0, 9.0) && !look("loss", "train", "", 0, 9.0));
        assert!(
            !look("acc", "train", "", 0, 1.0),
            "another metric has its own steps"
        );
        assert!(
            !look("loss", "test", "", 0, 1.0)
                && !look("loss", "train", "x", 0, 1.0)
                && !look("loss", "train", "", 1, 1.0)
        );
        assert!(look("loss", "train", "", 0, 8.0), "backwards");
        assert!(!look("loss", "train", "", 0, 7.0), "once");
        assert!(look("acc", "train", "", 0, 0.0), "each metric");
        assert!(!look("nan", "train", "", 0, f64::NAN) && !look("nan", "train", "", 0, 1.0));
    }
}
