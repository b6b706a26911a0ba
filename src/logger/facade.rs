//! The one logger type: the same methods in a child process and on the supervising side.

use super::appender::Appender;
use super::folder::Recorded;
use super::supervised::{Label, Supervised};
use super::wire::{begin_pair, json_number, json_text};
use super::{DigestCache, Directive, Dirs, Identity, Line, LoggerError, Point, Sink};
use crate::space::{Name, Value};
use crate::study::{Attempt, Datum, Metric, Timestamp, TrialId};
use serde_json::json;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Records what a trial does, bound to one attempt of one trial.
pub struct TrialLogger {
    identity: Identity,
    end: End,
}

enum End {
    Child { records: Appender, line: Vec<u8> },
    Here(Box<Supervised>),
}

impl TrialLogger {
    /// Makes the logger of the trial this process is, from the `SWATH_*` variables; `None` in a process that swath did not start.
    ///
    /// # Errors
    /// If the variables are incomplete, or the records file cannot be opened.
    pub fn from_env() -> Result<Option<Self>, LoggerError> {
        Self::from_variables(&|name| env::var_os(name))
    }

    pub(crate) fn from_variables(
        variable: &dyn Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Option<Self>, LoggerError> {
        let Some(records) = variable("SWATH_RECORDS").filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let text = |name: &'static str| {
            let found =
                variable(name).ok_or(LoggerError::Environment { name, problem: "is not set".to_owned() })?;
            Ok(found.to_string_lossy().into_owned())
        };
        let number = |name: &'static str| {
            let found: String = text(name)?;
            let problem = format!("is `{found}`, not a number from 1");
            found.parse().ok().filter(|number| *number > 0).ok_or(LoggerError::Environment { name, problem })
        };
        let identity = Identity {
            study: text("SWATH_STUDY")?,
            pipeline: text("SWATH_PIPELINE")?,
            stage: text("SWATH_STAGE")?,
            trial: TrialId(number("SWATH_TRIAL")?),
            attempt: Attempt(number("SWATH_ATTEMPT")?),
        };
        let records = PathBuf::from(records);
        let trial = match variable("SWATH_TRIAL_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => records.parent().unwrap_or(Path::new(".")).to_path_buf(),
        };
        let records = Appender::open(records, trial, now())?;
        Ok(Some(Self { identity, end: End::Child { records, line: Vec::new() } }))
    }

    /// Makes the logger of the supervising side, also for closures: it writes the trial's own files and passes the rest to `sink`.
    ///
    /// # Errors
    /// None at present: files are opened when the first record needs them.
    pub fn in_process(identity: Identity, dirs: Dirs, sink: Box<dyn Sink>) -> Result<Self, LoggerError> {
        Ok(Self { identity, end: End::Here(Box::new(Supervised::new(dirs, sink))) })
    }

    /// Uses `cache` for the digests of data sets and models; of the supervising side only.
    #[must_use]
    pub fn with_cache(mut self, cache: Arc<DigestCache>) -> Self {
        if let End::Here(here) = &mut self.end {
            here.use_cache(cache);
        }
        self
    }

    /// Returns what it is bound to.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reports values that decide: once an epoch, say. They go into the journal and may end the trial.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn report(&mut self, values: &[(&str, f64)]) -> Result<Directive, LoggerError> {
        match &mut self.end {
            End::Here(here) => {
                let named = values.iter().enumerate();
                let values = named
                    .map(|(at, (name, number))| (here.name(at, name), Datum::Number(Metric(*number))))
                    .collect();
                here.report_values(values, now());
                Ok(here.directive())
            }
            End::Child { records, line } => {
                begin_line(line, "report");
                for (name, number) in values {
                    begin_pair(line, name);
                    json_number(line, *number);
                }
                line.push(b'}');
                records.now(line, now())?;
                Ok(records.directive())
            }
        }
    }

    /// Reports values of any kind: numbers, switches, texts. A text `model_path` names a model that was saved with them.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn report_values(&mut self, values: Vec<(Name, Datum)>) -> Result<Directive, LoggerError> {
        match &mut self.end {
            End::Here(here) => {
                here.report_values(values, now());
                Ok(here.directive())
            }
            End::Child { records, line } => {
                begin_line(line, "report");
                for (name, datum) in &values {
                    begin_pair(line, name);
                    match datum {
                        Datum::Flag(flag) => line.extend_from_slice(flag.to_string().as_bytes()),
                        Datum::Number(Metric(number)) => json_number(line, *number),
                        Datum::Text(text) => json_text(line, text),
                    }
                }
                line.push(b'}');
                records.now(line, now())?;
                Ok(records.directive())
            }
        }
    }

    /// Records one line of the contract in `docs/records.md`.
    ///
    /// # Errors
    /// If it is not one line, or could not be appended. What is wrong inside the line becomes a warning of the trial.
    pub fn record(&mut self, line: &str) -> Result<Directive, LoggerError> {
        let line = line.trim_end_matches(['\n', '\r']);
        match &mut self.end {
            End::Child { records, .. } => records.now(line.as_bytes(), now())?,
            End::Here(here) => {
                if let Some(at) = line.find('\n') {
                    return Err(LoggerError::LineBreak { at });
                }
                here.line(&Label::Record, line.as_bytes(), now());
            }
        }
        Ok(self.directive())
    }

    /// Records a line that was read from the trial's records file; its number is in every warning about it.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn tailed(&mut self, line: Line<'_>) -> Result<Directive, LoggerError> {
        match (&mut self.end, line) {
            (End::Here(here), line) => here.tailed(line, now()),
            (End::Child { records, .. }, Line::Whole { bytes, .. } | Line::Torn { bytes, .. }) => {
                records.now(bytes, now())?;
            }
            (End::Child { .. }, Line::TooLong { .. } | Line::Replaced { .. }) => {}
        }
        Ok(self.directive())
    }

    /// Records a metric: it describes, decides nothing, and goes to the trial's own files. It costs under a microsecond: it is kept in
    /// memory, and written with the next report, by the first call a second after the last time, by [`flush`](Self::flush), or when the
    /// logger goes out of scope.
    ///
    /// # Errors
    /// If the records could not be appended.
    pub fn metric(&mut self, name: &str, value: f64, at: Point<'_>) -> Result<(), LoggerError> {
        self.metrics(&[(name, value)], at)
    }

    /// Records several metrics of one moment as one row.
    ///
    /// # Errors
    /// As [`metric`](Self::metric).
    pub fn metrics(&mut self, values: &[(&str, f64)], at: Point<'_>) -> Result<(), LoggerError> {
        let now = now();
        match &mut self.end {
            End::Here(here) => {
                here.metrics(values, &at, now);
                Ok(())
            }
            End::Child { records, line } => {
                metric_line(line, values, &at, now);
                records.soon(line, now)
            }
        }
    }

    /// Records that a data set was read: a file or a folder, with its digest. `role` is `train`, `validation`, `test` or empty.
    ///
    /// # Errors
    /// If the record could not be appended. A data set that cannot be read becomes a warning.
    pub fn dataset(&mut self, data_dir: impl AsRef<Path>, role: &str) -> Result<(), LoggerError> {
        let path = data_dir.as_ref();
        match &mut self.end {
            End::Here(here) => here.dataset(path, role.to_owned(), &Label::Record),
            End::Child { .. } => {
                return self
                    .append(&json!({"kind": "dataset", "path": path.to_string_lossy(), "role": role}));
            }
        }
        Ok(())
    }

    /// Records that a model was written: a file or folder inside the workdir, with its size and digest.
    ///
    /// # Errors
    /// If the record could not be appended. A path that is refused, or a file that is not there, becomes a warning.
    pub fn model(&mut self, model_path: impl AsRef<Path>, step: Option<f64>) -> Result<(), LoggerError> {
        let path = model_path.as_ref().to_string_lossy();
        match &mut self.end {
            End::Here(here) => here.model(&path, step, &Label::Record),
            End::Child { .. } => return self.append(&json!({"kind": "model", "path": path, "step": step})),
        }
        Ok(())
    }

    /// Records a final result that is neither report nor model.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn output(&mut self, name: &str, value: Value) -> Result<(), LoggerError> {
        match &mut self.end {
            End::Here(here) => here.output(name.into(), value),
            End::Child { .. } => {
                return self.append(&json!({"kind": "output", "name": name, "value": value}));
            }
        }
        Ok(())
    }

    /// Records a parameter that the trial found out itself.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn param(&mut self, name: &str, value: Value) -> Result<(), LoggerError> {
        match &mut self.end {
            End::Here(here) => here.param(name, value),
            End::Child { .. } => return self.append(&json!({"kind": "param", "name": name, "value": value})),
        }
        Ok(())
    }

    /// Stores a file or folder of the workdir under the trial's `artifacts/`.
    ///
    /// # Errors
    /// If the record could not be appended. A path that is refused, or a file that is not there, becomes a warning.
    pub fn artifact(&mut self, path: impl AsRef<Path>) -> Result<(), LoggerError> {
        let path = path.as_ref().to_string_lossy();
        match &mut self.end {
            End::Here(here) => here.artifact(&path, None, &Label::Record),
            End::Child { .. } => return self.append(&json!({"kind": "artifact", "path": path})),
        }
        Ok(())
    }

    /// Records that a checkpoint is complete in the checkpoint folder.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn checkpoint(&mut self, step: Option<f64>) -> Result<(), LoggerError> {
        match &mut self.end {
            End::Here(here) => here.pass(crate::study::LogRecord::Checkpoint { step }),
            End::Child { .. } => return self.append(&json!({"kind": "checkpoint", "step": step})),
        }
        Ok(())
    }

    /// Records a free text.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn note(&mut self, text: &str) -> Result<(), LoggerError> {
        match &mut self.end {
            End::Here(here) => here.pass(crate::study::LogRecord::Note { text: text.to_owned() }),
            End::Child { .. } => return self.append(&json!({"kind": "note", "text": text})),
        }
        Ok(())
    }

    /// Records something that was wrong, on the supervising side: the trial is marked with it and goes on. In a child it is a note.
    pub fn warn(&mut self, text: String) {
        match &mut self.end {
            End::Here(here) => here.warn(text),
            End::Child { .. } => drop(self.append(&json!({"kind": "note", "text": text}))),
        }
    }

    /// Returns whether the trial may go on, without a report.
    #[must_use]
    pub fn directive(&self) -> Directive {
        match &self.end {
            End::Here(here) => here.directive(),
            End::Child { records, .. } => records.directive(),
        }
    }

    /// Writes what is kept in memory. The supervisor calls it at the end of each round of reading.
    ///
    /// # Errors
    /// If the records could not be appended.
    pub fn flush(&mut self) -> Result<(), LoggerError> {
        match &mut self.end {
            End::Here(here) => here.flush(now()),
            End::Child { records, .. } => records.flush(now())?,
        }
        Ok(())
    }

    /// Writes what is kept in memory and returns what the trial's `info.yaml` is to say about its data and models.
    ///
    /// # Errors
    /// If the records could not be appended.
    pub fn finish(&mut self) -> Result<Recorded, LoggerError> {
        match &mut self.end {
            End::Here(here) => Ok(here.finish(now())),
            End::Child { records, .. } => records.flush(now()).map(|()| Recorded::default()),
        }
    }

    /// Appends a line in a child.
    fn append(&mut self, object: &serde_json::Value) -> Result<(), LoggerError> {
        let End::Child { records, .. } = &mut self.end else { return Ok(()) };
        records.now(object.to_string().as_bytes(), now())
    }
}

/// Begins a line of the kind; a report needs no word, unless a value has the name `kind`.
fn begin_line(line: &mut Vec<u8>, kind: &str) {
    line.clear();
    line.extend_from_slice(b"{\"kind\": ");
    json_text(line, kind);
}

fn metric_line(line: &mut Vec<u8>, values: &[(&str, f64)], point: &Point<'_>, now: i64) {
    begin_line(line, "metric");
    for (name, number) in values {
        begin_pair(line, name);
        json_number(line, *number);
    }
    for (key, number) in [("step", point.step), ("batch", point.batch)] {
        if let Some(number) = number {
            begin_pair(line, key);
            serde_json::to_writer(&mut *line, &number).expect("a vector takes all bytes");
        }
    }
    for (key, word) in [("context", point.context), ("log", point.log)] {
        if !word.is_empty() {
            begin_pair(line, key);
            json_text(line, word);
        }
    }
    begin_pair(line, "at");
    super::files::seconds(line, now);
    line.push(b'}');
}

/// Microseconds since 1970.
fn now() -> i64 {
    Timestamp::now().as_micros()
}

#[cfg(test)]
mod tests {
    use super::super::Tail;
    use super::*;
    use crate::study::LogRecord;
    use std::collections::BTreeMap;
    use std::fs;
    use std::sync::Mutex;
    use tempfile::TempDir;

    /// A workdir with a model, a trial's folder, and what the sink was told.
    struct World {
        dir: TempDir,
        told: Arc<Mutex<Vec<LogRecord>>>,
        answer: Arc<Mutex<Directive>>,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("models")).unwrap();
            fs::create_dir_all(dir.path().join("logs/s/1")).unwrap();
            fs::write(dir.path().join("models/m.bin"), "model").unwrap();
            Self { dir, told: Arc::default(), answer: Arc::default() }
        }

        fn trial(&self) -> PathBuf {
            self.dir.path().join("logs/s/1")
        }

        fn logger(&self) -> TrialLogger {
            let dirs = Dirs { workdir: self.dir.path().to_path_buf(), trial: self.trial() };
            let (told, answer) = (self.told.clone(), self.answer.clone());
            let sink = move |record| {
                told.lock().unwrap().push(record);
                *answer.lock().unwrap()
            };
            TrialLogger::in_process(identity(), dirs, Box::new(sink)).unwrap()
        }

        fn child(&self) -> TrialLogger {
            TrialLogger::from_variables(&|name| self.variables().get(name).map(Into::into)).unwrap().unwrap()
        }

        fn variables(&self) -> BTreeMap<&'static str, String> {
            let records = self.trial().join("records.jsonl").to_str().unwrap().to_owned();
            BTreeMap::from([
                ("SWATH_RECORDS", records),
                ("SWATH_STUDY", "s".to_owned()),
                ("SWATH_PIPELINE", "p".to_owned()),
                ("SWATH_STAGE", "tune".to_owned()),
                ("SWATH_TRIAL", "1".to_owned()),
                ("SWATH_ATTEMPT", "1".to_owned()),
            ])
        }

        /// Feeds the records file to a logger as the supervisor does.
        fn supervise(&self) -> Recorded {
            let mut logger = self.logger();
            Tail::new(self.trial().join("records.jsonl"))
                .finish(&mut |line| assert!(logger.tailed(line).is_ok()))
                .unwrap();
            logger.finish().unwrap()
        }

        fn told(&self) -> Vec<LogRecord> {
            self.told.lock().unwrap().clone()
        }

        fn warnings(&self) -> Vec<String> {
            let text = |record| if let LogRecord::Warning { text } = record { Some(text) } else { None };
            self.told().into_iter().filter_map(text).collect()
        }

        fn records(&self, lines: &[u8]) {
            fs::write(self.trial().join("records.jsonl"), lines).unwrap();
        }

        fn metrics(&self, log: &str) -> String {
            fs::read_to_string(self.trial().join(format!("metrics/{log}.json"))).unwrap_or_default()
        }
    }

    fn identity() -> Identity {
        let (study, pipeline, stage) = ("s".into(), "p".into(), "tune".into());
        Identity { study, pipeline, stage, trial: TrialId(1), attempt: Attempt(1) }
    }

    fn report(values: &[(&str, f64)]) -> LogRecord {
        let values = values.iter().map(|(name, n)| (Name::from(*name), Datum::Number(Metric(*n)))).collect();
        LogRecord::Report { values }
    }

    fn model(step: Option<f64>) -> LogRecord {
        let md5 = Some("20f35e630daf44dbfa4c3f68f5399d8c".to_owned());
        LogRecord::Model { model_path: "models/m.bin".into(), md5, size: 5, step }
    }

    /// Says everything a trial can say.
    fn say_everything(log: &mut TrialLogger) {
        log.report(&[("epoch", 1.0), ("loss", 0.5)]).unwrap();
        log.metric("acc", 0.9, Point::step(3).batch(7).context("train")).unwrap();
        log.metrics(&[("a", 1.5), ("b", f64::NAN)], Point::default().log("mine")).unwrap();
        log.dataset("models", "train").unwrap();
        log.model("models/m.bin", Some(1.0)).unwrap();
        log.output("n", Value::Int(3)).unwrap();
        log.param("depth", Value::List(vec![Value::Float(1.0)])).unwrap();
        log.artifact("models/m.bin").unwrap();
        log.checkpoint(Some(2.0)).unwrap();
        log.note("a \"note\"\nin two lines").unwrap();
        log.finish().unwrap();
    }

    #[test]
    fn a_program_and_a_closure_are_recorded_alike() {
        let (here, there) = (World::new(), World::new());
        say_everything(&mut here.logger());
        say_everything(&mut there.child());
        there.supervise();
        assert_eq!(here.told(), there.told());
        assert!(here.warnings().is_empty(), "{:?}", here.warnings());
        assert_eq!(here.told().len(), 8);
        let without_time = |text: String| -> Vec<String> {
            text.lines().map(|line| line.split(", \"at\"").next().unwrap().to_owned()).collect()
        };
        for log in ["report", "train", "mine"] {
            assert_eq!(without_time(here.metrics(log)), without_time(there.metrics(log)), "{log}");
        }
        assert_eq!(
            without_time(here.metrics("train")),
            [r#"{"acc": 0.9, "step": 3, "batch": 7, "context": "train""#]
        );
    }

    #[test]
    fn a_report_with_a_model_is_a_report_and_a_model() {
        let world = World::new();
        world.records(b"{\"epoch\": 3, \"model_path\": \"./models/m.bin\"}\n");
        let recorded = world.supervise();
        let told = world.told();
        assert!(matches!(&told[0], LogRecord::Report { values } if values.len() == 2));
        assert_eq!(told[1..], [model(Some(3.0))]);
        assert_eq!(recorded.models[0].0, "models/m.bin");
    }

    #[test]
    fn a_model_path_that_leads_out_is_refused_and_the_rest_is_kept() {
        let world = World::new();
        std::os::unix::fs::symlink("/etc", world.dir.path().join("out")).unwrap();
        world.records(
            b"{\"a\": 1, \"model_path\": \"/etc/hostname\"}\n{\"a\": 2, \"model_path\": \"../x\"}\n{\"a\": 3, \"model_path\": \"out/hostname\"}\n",
        );
        world.supervise();
        let reports: Vec<_> =
            world.told().into_iter().filter(|record| !matches!(record, LogRecord::Warning { .. })).collect();
        assert_eq!(reports, [report(&[("a", 1.0)]), report(&[("a", 2.0)]), report(&[("a", 3.0)])]);
        let begin = |n| format!("line {n} of `records.jsonl`: `model_path` is refused, the rest is kept: ");
        let warnings = world.warnings();
        assert_eq!(warnings[0], begin(1) + "`/etc/hostname` is absolute; paths are relative to the workdir");
        assert_eq!(warnings[1], begin(2) + "`../x` leaves the workdir by `..`");
        assert!(
            warnings[2].starts_with(&(begin(3) + "`out/hostname` leaves the workdir by a symbolic link to"))
        );
    }

    #[test]
    fn a_model_that_is_not_there_is_recorded_without_digest_and_warned_about() {
        let world = World::new();
        world.logger().model("models/none.bin", None).unwrap();
        let model_path = "models/none.bin".to_owned();
        assert_eq!(world.told()[1..], [LogRecord::Model { model_path, md5: None, size: 0, step: None }]);
        assert_eq!(
            world.warnings(),
            ["a record: model `models/none.bin` has no digest: `models/none.bin` does not exist"]
        );
    }

    #[test]
    fn bad_lines_are_said_with_their_numbers_and_good_ones_kept() {
        let world = World::new();
        let mut lines = b"{\"a\": 1}\nnot json\n[1]\n{\"kind\": \"metrics\"}\n{\"a\": NaN, \"a\": 2, \"l\": []}\n{\"a\": 3, \"t\": \"\xff\"}\n".to_vec();
        lines.resize(lines.len() + super::super::tail::LONGEST + 1, b' ');
        lines.extend_from_slice(b"\n{\"a\": 4}\n{\"a\": 5}");
        world.records(&lines);
        let recorded = world.supervise();
        let reported: Vec<f64> = world
            .told()
            .iter()
            .filter_map(|record| match record {
                LogRecord::Report { values } => match values[0].1 {
                    Datum::Number(Metric(number)) => Some(number),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        assert_eq!(
            reported,
            [1.0, 2.0, 3.0, 4.0, 5.0],
            "a last line without line break is whole if it is JSON"
        );
        let wanted = [
            "line 2 of `records.jsonl`: it is not JSON: expected `{` at column 1; it is left out",
            "line 3 of `records.jsonl`: it is not JSON: expected `{` at column 1; it is left out",
            "line 4 of `records.jsonl`: there is no kind `metrics`; did you mean `metric`?; it is left out",
            "line 5 of `records.jsonl`: `a` is there twice; the later one counts; `l` is left out: it is a list or an object; values are numbers, texts and switches",
            "line 6 of `records.jsonl`: bytes that are not UTF-8 were replaced",
            "line 7 of `records.jsonl`: it has 10000001 bytes, 10000000 are the most; it is left out",
        ];
        assert_eq!(world.warnings(), wanted);
        assert_eq!((recorded.reports, recorded.warnings), (5, 6));
    }

    #[test]
    fn a_torn_last_line_is_said() {
        let world = World::new();
        world.records(b"{\"a\": 1}\n{\"a\": ");
        world.supervise();
        assert_eq!(world.warnings(), ["line 2 of `records.jsonl`: it has no end, and is left out"]);
    }

    #[test]
    fn a_flood_of_bad_lines_is_counted_not_repeated() {
        let world = World::new();
        world.records(&b"x\n".repeat(1000));
        assert_eq!(world.supervise().warnings, 1000);
        assert_eq!(world.warnings().len(), 101);
        assert_eq!(world.warnings()[100], "and 900 more warnings like these");
    }

    #[test]
    fn a_metric_of_a_log_that_cannot_be_is_kept_with_a_warning() {
        let world = World::new();
        let mut log = world.logger();
        log.metric("a", 1.0, Point::default().log("../evil")).unwrap();
        log.metric("b/c.d", 1.0, Point::default()).unwrap();
        log.metric("", 1.0, Point::default()).unwrap();
        log.finish().unwrap();
        assert_eq!(world.metrics("metrics").lines().count(), 2);
        assert_eq!(world.warnings().len(), 2);
    }

    #[test]
    fn a_trial_that_is_to_stop_hears_it_from_its_report() {
        let world = World::new();
        let mut log = world.logger();
        assert_eq!(log.report(&[("a", 1.0)]).unwrap(), Directive::Continue);
        *world.answer.lock().unwrap() = Directive::Stop;
        assert_eq!(log.report(&[("a", 1.0)]).unwrap(), Directive::Stop);
        let mut child = world.child();
        assert_eq!(child.report(&[("a", 1.0)]).unwrap(), Directive::Continue);
        fs::write(world.trial().join("stop"), "pause\n").unwrap();
        assert_eq!(child.report(&[("a", 1.0)]).unwrap(), Directive::Pause);
        fs::write(world.trial().join("stop"), "").unwrap();
        assert_eq!(child.directive(), Directive::Stop);
    }

    #[test]
    fn a_report_says_its_model_also_from_a_closure() {
        let world = World::new();
        let mut log = world.logger();
        let path = ("model_path".into(), Datum::Text("models/m.bin".into()));
        log.report_values(vec![("epoch".into(), Datum::Number(Metric(2.0))), path]).unwrap();
        assert_eq!(world.told()[1..], [model(Some(2.0))]);
    }

    #[test]
    fn a_pipe_or_the_workdir_itself_is_no_artifact() {
        let world = World::new();
        let pipe = world.dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        let mut log = world.logger();
        log.artifact("pipe").unwrap();
        fs::remove_file(pipe).unwrap();
        log.artifact(".").unwrap();
        let warnings = world.warnings();
        assert!(warnings[0].ends_with("is a named pipe, neither a file nor a folder"), "{warnings:?}");
        assert_eq!(warnings[1], "a record: the artifact is not stored: `.` holds the trial's own folder");
    }

    #[test]
    fn outside_a_trial_there_is_no_logger_and_half_an_environment_is_an_error() {
        assert!(TrialLogger::from_variables(&|_| None).unwrap().is_none());
        let world = World::new();
        let with = |name: &str, value: Option<&str>| {
            let mut variables = world.variables();
            match value {
                Some(value) => drop(variables.insert("SWATH_TRIAL", value.to_owned())),
                None => drop(variables.remove(name)),
            }
            TrialLogger::from_variables(&|name| variables.get(name).map(Into::into))
                .err()
                .unwrap()
                .to_string()
        };
        let end = ": a trial's logger works only in a process that swath started";
        assert_eq!(with("SWATH_STAGE", None), format!("`SWATH_STAGE` is not set{end}"));
        assert_eq!(with("SWATH_TRIAL", Some("x")), format!("`SWATH_TRIAL` is `x`, not a number from 1{end}"));
    }

    #[test]
    fn metrics_of_a_child_wait_and_come_with_the_next_report_in_order() {
        let world = World::new();
        let mut child = world.child();
        child.metric("a", 1.0, Point::step(1)).unwrap();
        let read = || fs::read_to_string(world.trial().join("records.jsonl")).unwrap();
        assert_eq!(read(), "");
        child.report(&[("b", 2.0)]).unwrap();
        let lines: Vec<String> = read().lines().map(|line| line[..25].to_owned()).collect();
        assert_eq!(lines, ["{\"kind\": \"metric\", \"a\": 1", "{\"kind\": \"report\", \"b\": 2"]);
        assert!(matches!(child.record("{\n}"), Err(LoggerError::LineBreak { at: 1 })));
        child.metric("a", 2.0, Point::default()).unwrap();
        drop(child);
        assert_eq!(read().lines().count(), 3);
    }

    #[test]
    fn nothing_is_lost_when_the_trials_folder_cannot_be_written() {
        let world = World::new();
        fs::write(world.trial().join("metrics"), "in the way").unwrap();
        let mut log = world.logger();
        log.report(&[("a", 1.0)]).unwrap();
        log.flush().unwrap();
        log.flush().unwrap();
        assert_eq!(world.told()[0], report(&[("a", 1.0)]));
        assert_eq!(world.warnings().len(), 1);
    }
}
