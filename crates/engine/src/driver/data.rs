//! Detects data sets that change between two trials of one study.

use crate::study::{LogRecord, Study, TrialId};
use std::collections::BTreeMap;

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
        let known = self.0.get_or_insert_with(|| known(study));
        let before = known.insert(data_dir.clone(), (md5.clone(), trial));
        let (before, other) = before.filter(|(before, other)| before != md5 && *other != trial)?;
        Some(format!(
            "data set `{data_dir}` has changed: trial {other} read md5 {before}, this one reads md5 {md5}; \
             their results do not compare"
        ))
    }
}

/// Returns the data sets that the trials of a study have read so far.
fn known(study: &Study) -> BTreeMap<String, (String, TrialId)> {
    let mut known = BTreeMap::new();
    for trial in study.trials() {
        for record in &trial.records {
            if let LogRecord::Dataset {
                data_dir,
                md5: Some(md5),
                ..
            } = record
            {
                known.insert(data_dir.clone(), (md5.clone(), trial.id));
            }
        }
    }
    known
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
    fn data_that_changes_between_two_trials_is_told_once_a_change() {
        let mut demo = Demo::new(&[]);
        let first = demo.start(&[]);
        demo.log(first, data(Some("one")));
        let mut data_sets = DataSets::default();
        let mut look = |trial, md5| data_sets.warning(&demo.study, TrialId(trial), &data(md5));
        assert_eq!(look(2, Some("one")), None);
        assert_eq!(look(3, None), None);
        let said = look(3, Some("two")).unwrap();
        assert!(
            said.starts_with("data set `data` has changed: trial 2 read md5 one"),
            "{said}"
        );
        assert_eq!(look(4, Some("two")), None, "once");
        assert_eq!(
            look(4, Some("three")),
            None,
            "a trial that changes its own data knows it"
        );
    }
}
