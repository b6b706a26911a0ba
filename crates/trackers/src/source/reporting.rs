//! Makes records of what a source reads: reports of values that decide, metrics of all others.

use super::rename::Rename;
use std::collections::BTreeSet;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};
use swath_engine::executor::SourceAttempt;
use swath_log::wire::Record;
use swath_log::{Point, SourceLines, SourcePlace};
use swath_model::space::Name;
use swath_model::study::{Datum, Metric, axis};

/// The key of a report that has the step of its values.
const STEP: &str = "step";

/// The number of names that are remembered.
const MOST_NAMES: usize = 12;

/// Appends the records of one attempt.
///
/// A row of values is a report if it has a value of a deciding metric other than the resource, and
/// metrics otherwise. Values that arrive one by one are joined by their step: a report is complete
/// as soon as each deciding metric has a value at this step, and at the latest with the first value
/// of another step. What arrives later for the step of the last report, as rows or values, is a
/// further report of this step.
pub(super) struct Reporting {
    lines: SourceLines,
    rename: Rename,
    deciding: Vec<Name>,
    resource: Option<Name>,
    pending: Option<Pending>,
    /// The step of the last report.
    reported: Option<f64>,
    /// Names that were read, at most some, for the message that a metric is missing.
    names: BTreeSet<String>,
}

/// The values of a step that are not a report yet.
struct Pending {
    step: f64,
    at: i64,
    values: Vec<(Name, f64)>,
    places: Vec<OwnedPlace>,
}

/// A place that is kept until its record is written.
struct OwnedPlace {
    from: String,
    item: Option<(u64, u64)>,
}

impl Reporting {
    /// Begins with an attempt, for the source of this name.
    ///
    /// # Errors
    /// If the records of the trial cannot be opened.
    pub(super) fn begin(
        attempt: &SourceAttempt<'_>,
        source: &'static str,
        rename: Rename,
    ) -> io::Result<Self> {
        Ok(Self {
            lines: SourceLines::open(attempt.dir, source)?,
            rename,
            deciding: attempt.deciding.to_vec(),
            resource: attempt.resource.cloned(),
            pending: None,
            reported: None,
            names: BTreeSet::new(),
        })
    }

    /// Returns the file to which records are appended, for records of other kinds and for the lines
    /// of earlier attempts.
    pub(super) fn lines(&mut self) -> &mut SourceLines {
        &mut self.lines
    }

    /// Records values that belong together. `at` is the time of the row in microseconds since 1970.
    ///
    /// # Errors
    /// If records cannot be written. They are kept, and written later.
    pub(super) fn row(
        &mut self,
        place: SourcePlace<'_>,
        values: Vec<(String, Datum)>,
        at: i64,
    ) -> io::Result<()> {
        let values: Vec<(Name, Datum)> = values
            .into_iter()
            .map(|(name, datum)| (self.name(&place, &name), datum))
            .collect();
        let step_name = self.rename.name("", STEP);
        let step = axis::number(&values, step_name);
        let is_late = step.is_some() && step == self.reported;
        if is_late || self.decides(values.iter().map(|(name, _)| name)) {
            self.reported = step;
            return self.lines.record(&[place], &Record::Report { values });
        }
        let mut step = None;
        let mut numbers = Vec::with_capacity(values.len());
        for (name, datum) in &values {
            match datum {
                Datum::Number(Metric(number)) if &**name == STEP => step = whole(*number),
                Datum::Number(Metric(number)) => numbers.push((&**name, *number)),
                Datum::Flag(_) | Datum::Text(_) => {}
            }
        }
        if numbers.is_empty() {
            return Ok(());
        }
        let point = Point {
            step,
            ..Point::default()
        };
        self.lines.metrics(&[place], &numbers, &point, at)
    }

    /// Records one value of a step. `at` is the time of the value in microseconds since 1970.
    ///
    /// # Errors
    /// As [`row`](Self::row).
    pub(super) fn value(
        &mut self,
        place: SourcePlace<'_>,
        name: &str,
        step: f64,
        number: f64,
        at: i64,
    ) -> io::Result<()> {
        let name = self.name(&place, name);
        let belongs = self.pending.as_ref().is_none_or(|pending| {
            pending.step == step && pending.values.iter().all(|(other, _)| *other != name)
        });
        if !belongs {
            self.finish_step()?;
        }
        let pending = self.pending.get_or_insert_with(|| Pending {
            step,
            at,
            values: Vec::new(),
            places: Vec::new(),
        });
        pending.values.push((name, number));
        pending.place(place);
        let step_name = self.rename.name("", STEP);
        let is_complete = self.deciding.iter().all(|name| {
            **name == *step_name || pending.values.iter().any(|(other, _)| other == name)
        });
        if is_complete && !self.deciding.is_empty() {
            self.finish_step()?;
        }
        Ok(())
    }

    /// Records the values of the current step, because no more belong to it.
    ///
    /// # Errors
    /// As [`row`](Self::row).
    pub(super) fn finish_step(&mut self) -> io::Result<()> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let places: Vec<SourcePlace<'_>> = pending.places.iter().map(OwnedPlace::borrow).collect();
        let is_late = self.reported == Some(pending.step);
        if is_late || self.decides(pending.values.iter().map(|(name, _)| name)) {
            self.reported = Some(pending.step);
            let step_name = Name::from(self.rename.name("", STEP));
            let has_step = pending.values.iter().any(|(name, _)| *name == step_name);
            let step = (!has_step).then_some((step_name, pending.step));
            let values = step.into_iter().chain(pending.values);
            let values = values.map(|(name, number)| (name, Datum::Number(Metric(number))));
            let values = values.collect();
            return self.lines.record(&places, &Record::Report { values });
        }
        let numbers = pending.values.iter();
        let numbers: Vec<_> = numbers.map(|(name, number)| (&**name, *number)).collect();
        let point = Point {
            step: whole(pending.step),
            ..Point::default()
        };
        self.lines.metrics(&places, &numbers, &point, pending.at)
    }

    /// Writes all records but the values of the current step.
    ///
    /// # Errors
    /// If they cannot be written. They are kept, and written by the next call.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }

    /// Returns the name in swath of a name that the program logs, and remembers it.
    fn name(&mut self, place: &SourcePlace<'_>, logged: &str) -> Name {
        let name = self.rename.name(place.from, logged);
        if self.names.len() < MOST_NAMES && !self.names.contains(name) {
            self.names.insert(name.to_owned());
        }
        name.into()
    }

    /// Returns the names that were read, in quotes, at most some.
    pub(super) fn names(&self) -> Vec<String> {
        self.names.iter().map(|name| format!("`{name}`")).collect()
    }

    /// Returns whether one of the names is a deciding metric other than the resource.
    fn decides<'a>(&self, mut names: impl Iterator<Item = &'a Name>) -> bool {
        let resource = self.resource.as_ref();
        // Without an objective, everything is a report.
        self.deciding.iter().all(|name| Some(name) == resource)
            || names.any(|name| Some(name) != resource && self.deciding.contains(name))
    }
}

impl Pending {
    /// Adds the place of a value. A later place in the same file replaces the earlier one.
    fn place(&mut self, place: SourcePlace<'_>) {
        match self
            .places
            .iter_mut()
            .find(|other| other.from == place.from)
        {
            Some(other) => other.item = place.item,
            None => self.places.push(OwnedPlace {
                from: place.from.to_owned(),
                item: place.item,
            }),
        }
    }
}

impl OwnedPlace {
    fn borrow(&self) -> SourcePlace<'_> {
        SourcePlace {
            from: &self.from,
            item: self.item,
        }
    }
}

/// Returns the time in microseconds since 1970.
pub(super) fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = elapsed.map_or(0, |elapsed| elapsed.as_micros());
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// Returns a step as a whole number, if it is one.
fn whole(step: f64) -> Option<u64> {
    (step >= 0.0 && step.fract() == 0.0 && step < 2f64.powi(63)).then_some(step as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use swath_model::study::{Attempt, TrialId};

    const PLACE: SourcePlace<'_> = SourcePlace {
        from: "f",
        item: None,
    };

    fn reporting(dir: &Path, deciding: &[&str], resource: Option<&str>) -> Reporting {
        let deciding: Vec<Name> = deciding.iter().copied().map(Name::from).collect();
        let resource = resource.map(Name::from);
        let attempt = SourceAttempt {
            trial: TrialId(1),
            attempt: Attempt(1),
            dir,
            workdir: dir,
            is_shared: false,
            resumes: false,
            deciding: &deciding,
            resource: resource.as_ref(),
            env: &[],
        };
        Reporting::begin(&attempt, "files", Rename::default()).unwrap()
    }

    /// Returns the records that were written, without their places and times.
    fn records(mut reporting: Reporting, dir: &Path) -> Vec<String> {
        reporting.finish_step().unwrap();
        reporting.flush().unwrap();
        let text = std::fs::read_to_string(dir.join("records.jsonl")).unwrap();
        let records = text.lines().map(|line| {
            let (_, record) = line.split_once("\"record\":{\"kind\": ").unwrap();
            let record = record.trim_end_matches('}');
            record.split(", \"at\"").next().unwrap().replace('"', "")
        });
        records.collect()
    }

    #[test]
    fn values_of_a_step_are_a_report_as_soon_as_all_that_decide_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut reporting = reporting(dir.path(), &["loss", "epoch"], Some("epoch"));
        for (name, step, number) in [
            ("lr", 9.0, 0.1),
            ("loss", 9.0, 0.5),
            ("epoch", 9.0, 1.0),
            ("late", 9.0, 7.0),
            ("train", 10.0, 3.0),
            ("loss", 19.0, 0.4),
            ("train", 20.0, 2.0),
        ] {
            reporting.value(PLACE, name, step, number, 0).unwrap();
        }
        assert_eq!(
            records(reporting, dir.path()),
            [
                "report, step: 9.0, lr: 0.1, loss: 0.5, epoch: 1.0",
                "report, step: 9.0, late: 7.0",
                "metric, train: 3.0, step: 10",
                "report, step: 19.0, loss: 0.4",
                "metric, train: 2.0, step: 20",
            ]
        );
    }

    #[test]
    fn a_row_is_a_report_if_it_has_a_metric_that_decides_other_than_the_resource() {
        let dir = tempfile::tempdir().unwrap();
        let mut reporting = reporting(dir.path(), &["loss", "epoch"], Some("epoch"));
        let number = |name: &str, number| (name.to_owned(), Datum::Number(Metric(number)));
        for row in [
            vec![number("epoch", 1.0), number("lr", 0.1)],
            vec![number("epoch", 1.0), number("loss", 0.5)],
            vec![number("step", 9.0), number("loss", 0.4)],
            vec![number("step", 9.0), number("lr", 0.1)],
            vec![number("step", 8.0), number("lr", 0.1)],
        ] {
            reporting.row(PLACE, row, 0).unwrap();
        }
        assert_eq!(
            records(reporting, dir.path()),
            [
                "metric, epoch: 1.0, lr: 0.1",
                "report, epoch: 1.0, loss: 0.5",
                "report, step: 9.0, loss: 0.4",
                "report, step: 9.0, lr: 0.1",
                "metric, lr: 0.1, step: 8",
            ]
        );
    }
}
