//! The supervising end: checks what a trial says, writes the trial's own files, and passes on what the journal keeps.

use super::deciding::{DecidingMetrics, Instead};
use super::files::{METRICS, MetricFiles, REPORTS, check_log};
use super::folder::Recorded;
use super::inside::{data_dir, inside};
use super::kinds::Kinds;
use super::repeats::Repeats;
use super::steps::{Place, Steps};
use super::wire::{Parser, Places, Said, begin_pair, check_name, json_number, json_text};
use super::{Answer, DigestCache, DigestError, Directive, Dirs, Line, Point, Sink, artifacts, digest, rank};
use crate::space::{Name, Value};
use crate::study::{Axis, Datum, LogRecord, Metric, axis};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

/// After this many warnings of one trial the rest are only counted.
const MOST_WARNINGS: u64 = 100;

/// The most ranks that are listed.
const MOST_RANKS: usize = 8;

/// The supervising end of a trial's logger.
pub(super) struct Supervised {
    dirs: Dirs,
    sink: Box<dyn Sink>,
    cache: Option<Arc<DigestCache>>,
    parser: Parser,
    files: MetricFiles,
    row: Vec<u8>,
    recorded: Recorded,
    directive: Directive,
    /// Whether the trial waits for an answer to its last report, and whether it ever did.
    waits: bool,
    asked: bool,
    /// Whether it was said that the trial's own files cannot be written.
    unwritable: bool,
    kinds: Kinds,
    steps: Steps,
    deciding: Vec<Name>,
    /// The axis of the reports.
    axis: Axis,
    repeats: Repeats,
    /// Reports of other workers than the first, and the first of those workers.
    other_reports: u64,
    other_ranks: BTreeSet<u32>,
}

impl Supervised {
    pub(super) fn new(dirs: Dirs, sink: Box<dyn Sink>) -> Self {
        let files = MetricFiles::new(&dirs.trial);
        Self {
            dirs,
            sink,
            cache: None,
            parser: Parser::default(),
            files,
            row: Vec::new(),
            recorded: Recorded::default(),
            directive: Directive::Continue,
            waits: false,
            asked: false,
            unwritable: false,
            kinds: Kinds::default(),
            steps: Steps::default(),
            deciding: Vec::new(),
            axis: Axis::default(),
            repeats: Repeats::default(),
            other_reports: 0,
            other_ranks: BTreeSet::new(),
        }
    }

    pub(super) fn use_cache(&mut self, cache: Arc<DigestCache>) {
        self.cache = Some(cache);
    }

    /// Names the metrics that decide.
    pub(super) fn use_deciding_metrics(&mut self, names: &[Name]) {
        self.deciding = names.to_vec();
        *self.parser.deciding() = DecidingMetrics::new(names);
    }

    /// Names the reported key that counts the resource.
    pub(super) fn use_resource(&mut self, resource: Option<&Name>) {
        self.axis = Axis::of(resource);
    }

    /// Returns whether a deciding metric was never reported as anything.
    pub(super) fn is_silent(&mut self, metric: &Name) -> bool {
        self.parser.deciding().is_silent(metric)
    }

    /// Remembers why a metric was not reported, as far as the output tells.
    pub(super) fn note_unreported(&mut self, metric: &Name, reason: String) {
        self.parser.deciding().note(metric, || Instead::Unreported(reason));
    }

    /// Records why deciding metrics have no number, at the end of an attempt that ended well.
    pub(super) fn explain_absence(&mut self) {
        for record in self.parser.deciding().absent() {
            self.pass(record);
        }
    }

    /// Returns the strictest answer so far: a trial that is to stop is not told to go on later.
    pub(super) fn directive(&self) -> Directive {
        self.directive
    }

    /// Passes a question on.
    pub(super) fn ask(&mut self, id: String) {
        (self.waits, self.asked) = (true, true);
        self.sink.ask(id);
    }

    /// Returns the trial's folder.
    pub(super) fn trial(&self) -> &Path {
        &self.dirs.trial
    }

    /// Returns whether the trial asked after its last report, so that it will hear of a stop from the answer.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Takes what the tail of the records file found.
    pub(super) fn tailed(&mut self, line: Line<'_>, now: i64) {
        match line {
            Line::Whole { number, bytes } => self.line(&Label::Line(number), bytes, now),
            Line::Torn { number, bytes } if bytes.trim_ascii().ends_with(b"}") => {
                self.line(&Label::Line(number), bytes, now);
            }
            Line::Torn { number, .. } => self.refuse(&Label::Line(number), "it has no end"),
            Line::TooLong { number, bytes } => {
                let longest = super::tail::LONGEST;
                self.refuse(&Label::Line(number), &format!("it has {bytes} bytes, {longest} are the most"));
            }
            Line::Replaced { after } => self.warn(format!(
                "`records.jsonl` was cut or replaced after line {after}; it is read from its beginning again, append to it instead"
            )),
        }
    }

    /// Takes one line of the records contract.
    pub(super) fn line(&mut self, label: &Label, bytes: &[u8], now: i64) {
        let text = String::from_utf8_lossy(bytes);
        let replaced = matches!(text, Cow::Owned(_));
        let said = self.parser.parse(&text);
        if replaced || !self.parser.flaws().is_empty() {
            let bad = replaced.then(|| "bytes that are not UTF-8 were replaced".to_owned());
            let all: Vec<String> = bad.into_iter().chain(self.parser.flaws().iter().cloned()).collect();
            self.warn(format!("{label}: {}", all.join("; ")));
        }
        match said {
            Ok(said) => self.said(said, label, now),
            Err(refused) => self.refuse(label, &refused.to_string()),
        }
    }

    /// Warns that a line is left out, which may have had the objective.
    fn refuse(&mut self, label: &Label, why: &str) {
        self.parser.deciding().note_refused(&format!("{label}: {why}"));
        self.warn(format!("{label}: {why}; it is left out"));
    }

    fn said(&mut self, said: Said, label: &Label, now: i64) {
        match said {
            Said::Nothing => {}
            Said::Report { values } => {
                let row = std::mem::take(&mut self.row);
                self.report(values, label, now);
                self.row = row;
            }
            Said::Metrics { log, context } => {
                let log = log.as_deref().or(context.as_deref());
                let log = self.log_for(log, label);
                if let (Some(name), Some(step)) = (self.parser.keys().first(), self.parser.step()) {
                    let (context, rank) = (context.as_deref().unwrap_or_default(), self.parser.rank());
                    let said = self.steps.look(name, &Place { log: &log, context, rank, step });
                    said.into_iter().for_each(|said| self.warn(format!("{label}: {said}")));
                }
                let keys = self.parser.keys().iter().map(|key| &**key);
                let written = self.files.row(&log, self.parser.row(), keys, now);
                self.written(written);
            }
            Said::Dataset { path, role } => self.dataset(Path::new(&path), role, label),
            Said::Model { path, step, facts } => self.model(&path, step, facts, label),
            Said::Stored { folder, name, text } => self.keep(folder, &name, &text, label),
            Said::Artifact { path, folder } => self.artifact(&path, folder.as_deref(), label),
            Said::Checkpoint { step } => self.pass(LogRecord::Checkpoint { step }),
            Said::Ask { id } => self.ask(id),
            Said::Note { text } => self.pass(LogRecord::Note { text }),
            Said::Outputs(values) => {
                for (name, value) in values {
                    self.parser.deciding().note_elsewhere(&name, || Instead::Output);
                    self.output(name, value);
                }
            }
            Said::Params(values) => {
                for (name, value) in values {
                    self.param(&name, value);
                }
            }
        }
    }

    /// Takes a report whose row the parser has.
    fn report(&mut self, values: Vec<(Name, Datum)>, label: &Label, now: i64) {
        self.waits = false;
        let rank = self.rank_of(&values);
        let log = self.log_of_report(rank);
        let keys = self.parser.keys().iter().map(|key| &**key);
        let written = self.files.row(log, self.parser.row(), keys, now);
        self.written(written);
        if rank == 0 {
            self.decide(values, label);
        } else {
            let names = values.iter().map(|(name, _)| name);
            self.parser.deciding().note_other_rank(names, rank);
        }
    }

    /// Returns the rank of the worker that made a report, 0 if it does not say. A metric of that
    /// name that decides is no rank.
    fn rank_of(&self, values: &[(Name, Datum)]) -> u32 {
        let is_rank = !self.deciding.iter().any(|name| &**name == rank::KEY);
        let number = axis::number(values, rank::KEY).filter(|_| is_rank);
        number.and_then(rank::of_number).unwrap_or(0)
    }

    /// Returns the log of a report of the worker `rank`. Only those of the first decide; those of
    /// others are metrics.
    fn log_of_report(&mut self, rank: u32) -> &'static str {
        if rank == 0 {
            return REPORTS;
        }
        self.other_reports += 1;
        if self.other_ranks.len() <= MOST_RANKS {
            self.other_ranks.insert(rank);
        }
        METRICS
    }

    /// Takes a report from this process.
    pub(super) fn report_values(&mut self, values: Vec<(Name, Datum)>, rank: u32, now: i64) {
        let mut kept: Vec<(Name, Datum)> = Vec::with_capacity(values.len());
        let (mut flaws, mut places) = (Vec::new(), Places::default());
        for (name, datum) in values {
            if let Err(flaw) = check_name(&name) {
                flaws.push(flaw);
                continue;
            }
            let datum = self.parser.deciding().read(&name, datum, &mut flaws);
            match places.find(&kept, &name).and_then(|at| kept.get_mut(at)) {
                None => kept.push((name, datum)),
                Some((_, old)) => {
                    flaws.push(format!("`{name}` is there twice; the later one counts"));
                    *old = datum;
                }
            }
        }
        if !flaws.is_empty() {
            self.warn(format!("{}: {}", Label::Report, flaws.join("; ")));
        }
        kept.retain(|(name, _)| rank == 0 || &**name != rank::KEY);
        if kept.is_empty() {
            return;
        }
        self.row.clear();
        for (name, datum) in &kept {
            begin_pair(&mut self.row, name);
            match datum {
                Datum::Flag(flag) => self.row.extend_from_slice(flag.to_string().as_bytes()),
                Datum::Number(Metric(number)) => json_number(&mut self.row, *number),
                Datum::Text(text) => json_text(&mut self.row, text),
            }
        }
        if rank > 0 {
            begin_pair(&mut self.row, rank::KEY);
            self.row.extend_from_slice(rank.to_string().as_bytes());
        }
        let keys = kept.iter().map(|(name, _)| &**name).chain((rank > 0).then_some(rank::KEY));
        let rank = if rank > 0 { rank } else { self.rank_of(&kept) };
        let log = self.log_of_report(rank);
        let written = self.files.row(log, &self.row, keys, now);
        self.written(written);
        if rank == 0 {
            self.decide(kept, &Label::Report);
        } else {
            let names = kept.iter().map(|(name, _)| name);
            self.parser.deciding().note_other_rank(names, rank);
        }
    }

    /// Returns the shared form of a name.
    pub(super) fn name(&mut self, at: usize, name: &str) -> Name {
        self.parser.name(at, name)
    }

    fn decide(&mut self, mut values: Vec<(Name, Datum)>, label: &Label) {
        self.recorded.reports += 1;
        self.parser.deciding().note_numbers(&values);
        if let Some(said) = self.kinds.look(&values) {
            self.warn(format!("{label}: {said}"));
        }
        self.axis.place(self.recorded.reports, None, |key| axis::number(&values, key));
        if let Some(said) = self.repeats.look(&values, self.axis.key(), &self.deciding) {
            self.warn(format!("{label}: {said}"));
        }
        let named = values.iter().position(|(name, _)| &**name == "model_path");
        let Some(at) = named else { return self.pass(LogRecord::Report { values }) };
        let step = self.axis.key().and_then(|key| axis::number(&values, key));
        let Datum::Text(path) = &values[at].1 else {
            self.warn(format!("{label}: `model_path` is not a text; no model is recorded"));
            return self.pass(LogRecord::Report { values });
        };
        let path = path.clone();
        if let Err(outside) = inside(&self.dirs.workdir, &path) {
            self.warn(format!("{label}: `model_path` is refused, the rest is kept: {outside}"));
            values.remove(at);
            if !values.is_empty() {
                self.pass(LogRecord::Report { values });
            }
            return;
        }
        self.pass(LogRecord::Report { values });
        self.model(&path, step, Vec::new(), label);
    }

    /// Takes metrics from this process.
    pub(super) fn metrics(&mut self, values: &[(&str, f64)], point: &Point<'_>, rank: Option<u64>, now: i64) {
        self.row.clear();
        let mut flaw = None;
        for (name, number) in values {
            match check_name(name) {
                Ok(()) => {
                    begin_pair(&mut self.row, name);
                    json_number(&mut self.row, *number);
                }
                Err(problem) => flaw = Some(problem),
            }
        }
        if let Some(flaw) = flaw {
            self.warn(format!("a metric: {flaw}"));
            if self.row.is_empty() {
                return;
            }
        }
        for (key, number) in [("step", point.step), ("batch", point.batch), ("rank", rank)] {
            if let Some(number) = number {
                begin_pair(&mut self.row, key);
                serde_json::to_writer(&mut self.row, &number).expect("a vector takes all bytes");
            }
        }
        if !point.context.is_empty() {
            begin_pair(&mut self.row, "context");
            json_text(&mut self.row, point.context);
        }
        let log = [point.log, point.context].into_iter().find(|log| !log.is_empty());
        let log = self.log_for(log, &Label::Metric);
        if let (Some((name, _)), Some(step)) = (values.first(), point.step) {
            let rank = rank.unwrap_or_default();
            let place = Place { log: &log, context: point.context, rank, step: step as f64 };
            let said = self.steps.look(name, &place);
            said.into_iter().for_each(|said| self.warn(format!("a metric: {said}")));
        }
        let names = values.iter().map(|(name, _)| *name).filter(|name| check_name(name).is_ok());
        let keys = names
            .chain(point.step.map(|_| "step"))
            .chain(point.batch.map(|_| "batch"))
            .chain(rank.map(|_| "rank"))
            .chain((!point.context.is_empty()).then_some("context"));
        let written = self.files.row(&log, &self.row, keys, now);
        self.written(written);
    }

    /// Returns the log a metric goes to; one whose name cannot be is kept with those that name none.
    fn log_for<'l>(&mut self, log: Option<&'l str>, label: &Label) -> Cow<'l, str> {
        let Some(log) = log else { return Cow::Borrowed(METRICS) };
        if let Err(why) = check_log(log) {
            self.warn(format!("{label}: {why}; it goes to `{METRICS}`"));
            return Cow::Borrowed(METRICS);
        }
        Cow::Borrowed(log)
    }

    pub(super) fn dataset(&mut self, given: &Path, role: String, label: &Label) {
        let (recorded, found) = data_dir(&self.dirs.workdir, given);
        let (md5, size, files) = match digest(&found, self.cache.as_deref()) {
            Ok(digest) => {
                if digest.links > 0 {
                    let links = digest.links;
                    self.warn(format!(
                        "`{recorded}` has {links} symbolic links to folders, which are not part of its digest"
                    ));
                }
                (Some(digest.md5), digest.size, digest.files)
            }
            Err(error) => {
                self.warn(format!("{label}: data set `{recorded}` has no digest: {}", chain(&error)));
                (None, 0, 0)
            }
        };
        self.recorded.data.retain(|(path, _)| *path != recorded);
        self.recorded.data.push((recorded.clone(), md5.clone()));
        self.pass(LogRecord::Dataset { data_dir: recorded, role, md5, size, files });
    }

    pub(super) fn model(&mut self, given: &str, step: Option<f64>, facts: Vec<(Name, Value)>, label: &Label) {
        let found = match inside(&self.dirs.workdir, given) {
            Ok(found) => found,
            Err(outside) => return self.warn(format!("{label}: the model is refused: {outside}")),
        };
        let digested = match &found.real {
            Some(real) => digest(real, self.cache.as_deref()),
            None => Err(DigestError::Missing(given.into())),
        };
        let (md5, size) = match digested {
            Ok(digest) => (Some(digest.md5), digest.size),
            Err(error) => {
                self.warn(format!("{label}: model `{}` has no digest: {}", found.relative, chain(&error)));
                (None, 0)
            }
        };
        self.recorded.models.retain(|(path, _)| *path != found.relative);
        self.recorded.models.push((found.relative.clone(), md5.clone()));
        let model_path = found.relative.clone();
        self.pass(LogRecord::Model { model_path: found.relative, md5, size, step });
        if !facts.is_empty() {
            self.pass(LogRecord::Facts { model_path, facts: facts.into_iter().collect() });
        }
    }

    pub(super) fn artifact(&mut self, given: &str, folder: Option<&str>, label: &Label) {
        match self.stored(given, folder) {
            Ok((path, digest)) => {
                self.pass(LogRecord::Artifact { path, md5: Some(digest.md5), size: digest.size });
            }
            Err(why) => self.warn(format!("{label}: the artifact is not stored: {why}")),
        }
    }

    /// Stores a text as a file of the trial.
    fn keep(&mut self, folder: &'static str, name: &str, text: &str, label: &Label) {
        let kept = artifacts::keep(&self.dirs.trial, folder, name, text.as_bytes()).and_then(|path| {
            Ok((digest(&self.dirs.trial.join(&path), None).map_err(std::io::Error::other)?, path))
        });
        match kept {
            Ok((digest, path)) => {
                self.pass(LogRecord::Artifact { path, md5: Some(digest.md5), size: digest.size });
            }
            Err(why) => self.warn(format!("{label}: the {folder} is not stored: {}", chain(&why))),
        }
    }

    fn stored(&self, given: &str, folder: Option<&str>) -> Result<(String, super::Digest), String> {
        let found = inside(&self.dirs.workdir, given).map_err(|outside| outside.to_string())?;
        let real = found.real.ok_or_else(|| DigestError::Missing(given.into()).to_string())?;
        // Looked through before it is copied: reading a pipe would never end.
        digest(&real, None).map_err(|error| chain(&error))?;
        let path = artifacts::store(&self.dirs.trial, &real, &found.relative, folder)
            .map_err(|error| chain(&error))?;
        let digest = digest(&self.dirs.trial.join(&path), None).map_err(|error| chain(&error))?;
        Ok((path, digest))
    }

    pub(super) fn output(&mut self, name: Name, value: Value) {
        self.pass(LogRecord::Output { name, value });
    }

    pub(super) fn param(&mut self, name: &str, value: Value) {
        self.pass(LogRecord::Param { name: name.into(), value });
    }

    /// Passes a record to the sink.
    pub(super) fn pass(&mut self, record: LogRecord) {
        self.directive = self.directive.max(self.sink.logged(record));
    }

    pub(super) fn warn(&mut self, text: String) {
        self.recorded.warnings += 1;
        if self.recorded.warnings <= MOST_WARNINGS {
            self.pass(LogRecord::Warning { text });
        }
    }

    pub(super) fn flush(&mut self, now: i64) {
        let written = self.files.flush(now);
        self.written(written);
    }

    pub(super) fn finish(&mut self, now: i64) -> Recorded {
        self.flush(now);
        if self.asked {
            // The next attempt would take it away too.
            let _ = Answer::clear(&self.dirs.trial);
        }
        if let Some(said) = self.only_others_reported() {
            self.warn(said);
        }
        let more = self.recorded.warnings.saturating_sub(MOST_WARNINGS);
        if more > 0 {
            self.pass(LogRecord::Warning { text: format!("and {more} more warnings like these") });
        }
        self.recorded.clone()
    }

    /// Says that no report decides, if that is because all are of other workers than the first.
    fn only_others_reported(&self) -> Option<String> {
        if self.recorded.reports > 0 || self.other_reports == 0 {
            return None;
        }
        let listed = self.other_ranks.iter().take(MOST_RANKS).map(ToString::to_string);
        let more = (self.other_ranks.len() > MOST_RANKS).then(|| "…".to_owned());
        let ranks = listed.chain(more).collect::<Vec<_>>().join(", ");
        Some(format!(
            "none of {} reports decides: they are of rank {ranks}, and only rank 0 decides. \
             Let rank 0 report; if `rank` is a value of your own, give it another name",
            self.other_reports
        ))
    }

    /// Says once that the trial's own files cannot be written. The journal has its reports all the same.
    fn written(&mut self, written: std::io::Result<()>) {
        let Err(error) = written else { return };
        if !std::mem::replace(&mut self.unwritable, true) {
            let dir = self.dirs.trial.join("metrics");
            self.warn(format!(
                "could not write to `{}`, some metrics are missing there: {error}",
                dir.display()
            ));
        }
    }
}

/// What a warning is about.
pub(super) enum Label {
    Line(u64),
    Record,
    Report,
    Metric,
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number} of `records.jsonl`"),
            Self::Record => f.write_str("a record"),
            Self::Report => f.write_str("a report"),
            Self::Metric => f.write_str("a metric"),
        }
    }
}

/// Writes an error with its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
