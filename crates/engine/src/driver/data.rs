//! Detects data sets that change between two trials of one study.

use std::collections::BTreeMap;
use swath_model::study::{LogRecord, Study, TrialId};

/// By data folder, the digest that was read last and the trial that read it; `None` until the first
/// record of a data set.
#[derive(Default)]
pub(super) struct DataSets(Option<BTreeMap<String, (String, TrialId)>>);

impl DataSets {
    /// Examines a record before it is committed. Returns a warning if it shows that a data set has
    /// changed.
    ///
    /// The trials of the study are then not comparable. The warning is given at once, and once per
    /// change.
    pub(super) fn warning(
        &mut self,
        study: &Study,
        trial: TrialId,
        record: &LogRecord,
    ) -> Option<String> {
        let LogRecord::Dataset {
            data_dir,
            md5: Some(md5),
            ..
        } = record
        else {
            return None;
        };
        // Most studies record no data sets: their trials are not searched until one does.
        let digests = self.0.get_or_insert_with(|| recorded_digests(study));
        let (before, other) = digests
            .insert(data_dir.clone(), (md5.clone(), trial))
            // A trial that changes its own data set knows that it does.
            .filter(|(before, other)| before != md5 && *other != trial)?;
        Some(format!(
            "data set `{data_dir}` has changed: trial {other} read md5 {before}, this one reads md5 {md5}; \
             their results are not comparable"
        ))
    }
}

/// Returns the data sets that the trials of a study have read so far.
fn recorded_digests(study: &Study) -> BTreeMap<String, (String, TrialId)> {
    let mut digests = BTreeMap::new();
    for trial in study.trials() {
        for record in &trial.records {
            if let LogRecord::Dataset {
                data_dir,
                md5: Some(md5),
                ..
            } = record
            {
                digests.insert(data_dir.clone(), (md5.clone(), trial.id));
            }
        }
    }
    digests
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;

    fn data(md5: Option<&str>) -> LogRecord {
        let (data_dir, role, md5) = ("data".to_owned(), String::new(), md5.map(str::to_owned));
        LogRecord::Dataset {
            data_dir,
            role,
            md5,
            size: 1,
            files: 1,
            partial: Vec::new(),
        }
    }

    #[test]
    fn a_data_set_that_changes_between_two_trials_gives_one_warning_per_change() {
        let mut demo = Demo::new(&[]);
        let first = demo.start(&[]);
        demo.log(first, data(Some("one")));
        let mut data_sets = DataSets::default();
        for (trial, md5, expected) in [
            (2, Some("one"), None),
            (3, None, None),
            (3, Some("two"), Some("trial 2 read md5 one")),
            (4, Some("two"), None),
            (4, Some("three"), None),
        ] {
            let warning = data_sets.warning(&demo.study, TrialId(trial), &data(md5));
            assert_eq!(warning.is_some(), expected.is_some(), "{trial}, {md5:?}");
            if let (Some(warning), Some(expected)) = (warning, expected) {
                assert!(warning.contains(expected), "{warning}");
            }
        }
    }
}
