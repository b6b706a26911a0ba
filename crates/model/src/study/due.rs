//! The rule that decides which metrics are logged: how often within an epoch, and from which
//! workers of a distributed trial. Loggers and trackers apply the same rule independently.

/// The frequency at which metrics of batches are logged. A metric without a batch belongs to an
/// epoch and is always logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFreq {
    /// Metrics of every batch are logged.
    #[default]
    Batch,
    /// Metrics of batches are never logged, only those of epochs.
    Epoch,
    /// Metrics are logged for every batch whose number is a multiple of this; batch 0 is one.
    Every(std::num::NonZeroU64),
}

/// The workers that log, by their rank.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LogOnWorkers {
    /// All workers log.
    #[default]
    All,
    /// Only the workers with these ranks log.
    Only(Vec<u32>),
}

/// The filter of one logger or tracker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// The frequency within an epoch.
    pub freq: LogFreq,
    /// The workers whose metrics are logged.
    pub workers: LogOnWorkers,
}

impl Due {
    /// Returns whether a metric that worker `rank` logs for `batch` is taken. The worker is checked
    /// first; without a batch the frequency does not matter.
    #[must_use]
    pub fn should_log(&self, rank: u32, batch: Option<u64>) -> bool {
        let worker = match &self.workers {
            LogOnWorkers::All => true,
            LogOnWorkers::Only(ranks) => ranks.contains(&rank),
        };
        worker
            && match (self.freq, batch) {
                (_, None) | (LogFreq::Batch, _) => true,
                (LogFreq::Epoch, Some(_)) => false,
                (LogFreq::Every(every), Some(batch)) => batch % every == 0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::{Due, LogFreq, LogOnWorkers};

    fn batches(freq: LogFreq) -> Vec<Option<u64>> {
        let due = Due {
            freq,
            ..Due::default()
        };
        let all = std::iter::once(None).chain((0..11).map(Some));
        all.filter(|batch| due.should_log(0, *batch)).collect()
    }

    #[test]
    fn every_fifth_batch_is_0_5_10_and_a_metric_of_an_epoch_is_always_logged() {
        let five = std::num::NonZeroU64::new(5).unwrap();
        assert_eq!(
            batches(LogFreq::Every(five)),
            [None, Some(0), Some(5), Some(10)]
        );
        assert_eq!(batches(LogFreq::Epoch), [None]);
        assert_eq!(batches(LogFreq::Batch).len(), 12);
    }

    #[test]
    fn only_the_workers_named_log_whatever_the_batch() {
        let due = Due {
            workers: LogOnWorkers::Only(vec![0, 2]),
            ..Due::default()
        };
        let ranks: Vec<u32> = (0..4).filter(|rank| due.should_log(*rank, None)).collect();
        assert_eq!(ranks, [0, 2]);
        assert!(Due::default().should_log(7, Some(3)));
    }
}
