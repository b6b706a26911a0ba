//! Detects metrics whose step begins again; warns once per metric. A row that comes late is no
//! reason.

use swath_model::study::RecentSteps;

/// Maximum number of metrics that are checked. Further ones are not checked.
const MANY: usize = 200;

/// The recent steps of each metric, in the order in which the metrics first appeared.
#[derive(Default)]
pub(crate) struct Steps {
    series: Vec<Series>,
    /// The index of the last row's metric, a guess for the next row.
    latest: usize,
}

/// A metric of one log, in one context, of one worker.
struct Series {
    log: String,
    context: String,
    name: String,
    rank: u64,
    steps: RecentSteps,
    is_warned: bool,
}

/// The position of a row: its log, context, worker and step.
pub(super) struct RowPosition<'a> {
    pub(super) log: &'a str,
    pub(super) context: &'a str,
    pub(super) rank: u64,
    pub(super) step: Option<f64>,
}

impl Series {
    fn is_of(&self, name: &str, position: &RowPosition<'_>) -> bool {
        self.name == name
            && self.log == position.log
            && self.context == position.context
            && self.rank == position.rank
    }
}

impl Steps {
    /// Checks the step of a row, which is identified by its first metric. Returns the text of a
    /// warning if the step began again.
    pub(super) fn check(
        &mut self,
        first: Option<&str>,
        position: &RowPosition<'_>,
    ) -> Option<String> {
        let (name, step) = (first?, position.step?);
        let guess = self.series.get(self.latest);
        if !guess.is_some_and(|series| series.is_of(name, position)) {
            let index = self
                .series
                .iter()
                .position(|series| series.is_of(name, position));
            let Some(index) = index else {
                self.add(name, step, position);
                return None;
            };
            self.latest = index;
        }
        let series = &mut self.series[self.latest];
        let before = series.steps.take(step).filter(|_| !series.is_warned)?;
        series.is_warned = true;
        Some(format!(
            "`{name}` in the log `{}` comes at step {step} after step {before}; all rows are \
             kept. If the step begins anew in each epoch, give it as `batch` and the epoch as \
             `step`",
            position.log
        ))
    }

    fn add(&mut self, name: &str, step: f64, position: &RowPosition<'_>) {
        if self.series.len() >= MANY {
            return;
        }
        self.latest = self.series.len();
        let mut steps = RecentSteps::default();
        steps.take(step);
        self.series.push(Series {
            log: position.log.to_owned(),
            context: position.context.to_owned(),
            name: name.to_owned(),
            rank: position.rank,
            steps,
            is_warned: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{RowPosition, Steps};

    #[test]
    fn a_step_that_begins_again_is_warned_of_once_a_metric_log_context_and_worker() {
        let mut steps = Steps::default();
        let mut warns = |name: &str, log: &str, context: &str, rank: u64, step: f64| {
            steps
                .check(
                    Some(name),
                    &RowPosition {
                        log,
                        context,
                        rank,
                        step: Some(step),
                    },
                )
                .is_some()
        };
        assert!(!warns("loss", "train", "", 0, 9.0) && !warns("loss", "train", "", 0, 9.0));
        assert!(
            !warns("acc", "train", "", 0, 1.0),
            "another metric has its own steps"
        );
        assert!(
            !warns("loss", "test", "", 0, 1.0)
                && !warns("loss", "train", "x", 0, 1.0)
                && !warns("loss", "train", "", 1, 1.0)
        );
        assert!(!warns("loss", "train", "", 0, 8.0), "late");
        assert!(warns("loss", "train", "", 0, 8.0), "again");
        assert!(!warns("loss", "train", "", 0, 8.0), "once");
        assert!(!warns("acc", "train", "", 0, 2.0) && !warns("acc", "train", "", 0, 3.0));
        assert!(warns("acc", "train", "", 0, 1.0), "each metric");
        assert!(!warns("nan", "train", "", 0, f64::NAN) && !warns("nan", "train", "", 0, 1.0));
    }
}
