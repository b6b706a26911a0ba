//! The supervising end of a logger: checks the lines of a trial, writes the trial's own files, and
//! forwards the records that the journal keeps.

use super::deciding::{DecidingMetrics, Instead};
use super::files::{METRICS, MetricFiles, REPORTS, check_log};
use super::folder::Recorded;
use super::inside::{data_dir, inside};
use super::kinds::Kinds;
use super::models::discard;
use super::repeats::Repeats;
use super::stamp::Stamp;
use super::steps::{Place, Steps};
use super::together::{
    LastInDoubt, NamedAgain, NamedModel, OVERWRITTEN, Source, TICK, Version, Waiting, named,
    named_again,
};
use super::wire::{Parser, Places, Said, begin_pair, check_name, json_number, json_text};
use super::{
    Answer, DigestCache, DigestError, Directive, Dirs, Line, ModelStore, Point, Sink, Tail,
    artifacts, digest, rank,
};
use crate::space::{Name, Value};
use crate::study::{Axis, Datum, LogRecord, Metric, axis};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Maximum number of warnings of one trial that are recorded. Further ones are only counted.
const MOST_WARNINGS: u64 = 100;

/// Maximum number of ranks that a warning lists.
const MOST_RANKS: usize = 8;

/// Maximum number of rounds in which lines that arrive while a model is read are read too, before
/// the results are recorded.
const ROUNDS: usize = 3;

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
    /// Whether the trial waits for an answer to its last report, and whether it ever asked.
    waits: bool,
    asked: bool,
    /// Whether the warning that the trial's own files cannot be written was given.
    unwritable: bool,
    kinds: Kinds,
    steps: Steps,
    deciding: Vec<Name>,
    /// The axis of the reports.
    axis: Axis,
    repeats: Repeats,
    /// Number of reports of workers other than rank 0, and the first ranks among them.
    other_reports: u64,
    other_ranks: BTreeSet<u32>,
    models: Arc<ModelStore>,
    /// Whether a batch of lines is being read, so that a later line may name the same model.
    reads_together: bool,
    /// The records from the first unread model on. Models are read once the last line of the batch
    /// is known.
    waiting: Vec<Waiting>,
    /// Model paths for which the warning about overwriting was given.
    overwritten: BTreeSet<String>,
    /// Models whose last record has no digest because they may have been overwritten, by path.
    in_doubt: BTreeMap<String, LastInDoubt>,
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
            models: Arc::default(),
            reads_together: false,
            waiting: Vec::new(),
            overwritten: BTreeSet::new(),
            in_doubt: BTreeMap::new(),
        }
    }

    pub(super) fn use_cache(&mut self, cache: Arc<DigestCache>) {
        self.cache = Some(cache);
    }

    /// Sets the metrics that decide.
    pub(super) fn use_deciding_metrics(&mut self, names: &[Name]) {
        self.deciding = names.to_vec();
        *self.parser.deciding() = DecidingMetrics::new(names);
    }

    /// Sets the reported key that counts the resource.
    pub(super) fn use_resource(&mut self, resource: Option<&Name>) {
        self.axis = Axis::of(resource);
    }

    /// Returns whether nothing was recorded for a deciding metric.
    pub(super) fn is_silent(&mut self, metric: &Name) -> bool {
        self.parser.deciding().is_silent(metric)
    }

    /// Remembers the reason why a metric was not reported, as far as the output tells.
    pub(super) fn note_unreported(&mut self, metric: &Name, reason: String) {
        self.parser
            .deciding()
            .note(metric, || Instead::Unreported(reason));
    }

    /// Records why deciding metrics have no number, at the end of an attempt that ended well.
    pub(super) fn explain_absence(&mut self) {
        for record in self.parser.deciding().absent() {
            self.pass(record);
        }
    }

    pub(super) fn use_models(&mut self, models: Arc<ModelStore>) {
        self.models = models;
    }

    /// Reads the lines that were appended since the last call, and the models that they name.
    /// Returns the number of bytes read.
    ///
    /// `ended` tells that the program has ended, so that these lines are its last.
    pub(super) fn follow(
        &mut self,
        tail: &mut Tail,
        ended: bool,
        now: fn() -> i64,
    ) -> io::Result<usize> {
        let mut total = 0;
        let mut result = Ok(());
        self.reads_together = true;
        // The file's time is taken before the lines are read. A model that is newer than that may
        // belong to a line that is not read yet.
        let mut state = tail.state();
        for _ in 0..ROUNDS {
            let each = &mut |line: Line<'_>| self.tailed(line, now());
            match if ended {
                tail.finish(each)
            } else {
                tail.poll(each)
            } {
                Ok(read) => total += read,
                Err(error) => result = Err(error),
            }
            if self.waiting.is_empty() {
                break;
            }
            // Lines that were appended between the two calls have been read too. Their models are
            // not in doubt for being newer than the lines before them.
            state = tail.state_as_read().or(state);
            let source = Source {
                modified: state.map_or(i128::MIN, |state| state.modified),
                is_buffered: tail.is_torn(),
                is_output: false,
            };
            self.read_models(Some(source), ended);
            // Lines that were appended meanwhile may name the same models again.
            let later = tail.state();
            if ended || result.is_err() || later == state {
                break;
            }
            state = later;
        }
        self.settle(ended);
        // Nothing writes any more, so a second look at these models is reliable.
        if ended && !self.in_doubt.is_empty() {
            let modified = state.map_or(i128::MIN, |state| state.modified);
            self.read_last_again(Source {
                modified,
                is_buffered: false,
                is_output: false,
            });
        }
        result.map(|()| total)
    }

    /// Records the reports that `feed` finds in a program's output. `modified` is the time of the
    /// last write to the output, in nanoseconds since 1970.
    ///
    /// Programs buffer their output, so the age of a line is unknown.
    pub(super) fn take_together<T>(
        &mut self,
        modified: i128,
        ended: bool,
        feed: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.reads_together = true;
        let fed = feed(self);
        let source = Source {
            modified,
            is_buffered: !ended,
            is_output: true,
        };
        self.read_models(Some(source), ended);
        self.settle(ended);
        if ended {
            self.read_last_again(source);
        }
        fed
    }

    /// Records the last model of a path again, now with its digest, if it had none and the program
    /// has ended.
    ///
    /// Only a model after the last report is recorded again, because a new record belongs to the
    /// last report.
    fn read_last_again(&mut self, source: Source) {
        // A model recorded now would stand behind the last report: only the last one belongs there.
        let last_path = self.recorded.models.last().map(|(path, _)| path.clone());
        for (path, last) in std::mem::take(&mut self.in_doubt) {
            // Times of the records file say nothing about models that the output named, and vice
            // versa.
            let is_other = last
                .model
                .source
                .is_some_and(|before| before.is_output != source.is_output);
            if is_other {
                self.in_doubt.insert(path, last);
                continue;
            }
            let mut model = last.model;
            model.source = Some(source);
            model.version = Some(self.read_version(&model));
            let is_known = model
                .version
                .as_ref()
                .is_some_and(|version| version.digest.is_ok());
            let is_last =
                last.reports == self.recorded.reports && last_path.as_ref() == Some(&path);
            if is_known && !model.is_overwritten() && is_last {
                self.record_model(model);
            } else {
                self.discard(&model);
            }
        }
    }

    /// Returns the strictest directive so far: a trial that was told to stop is never told to
    /// continue later.
    pub(super) fn directive(&self) -> Directive {
        self.directive
    }

    /// Forwards a question of the trial to the sink, after the records that wait before it.
    pub(super) fn ask(&mut self, id: String) {
        (self.waits, self.asked) = (true, true);
        if self.waiting.is_empty() {
            self.sink.ask(id);
        } else {
            self.waiting.push(Waiting::Question(id));
        }
    }

    /// Returns the trial's folder.
    pub(super) fn trial(&self) -> &Path {
        &self.dirs.trial
    }

    /// Returns whether the trial asked a question after its last report, so that the answer will
    /// tell it of a stop.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Handles a line that the tail of the records file delivered.
    pub(super) fn tailed(&mut self, line: Line<'_>, now: i64) {
        match line {
            Line::Whole { number, bytes } => self.line(&Label::Line(number), bytes, now),
            // The program ended without a line break, but the object is complete.
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

    /// Handles one line of the records format.
    pub(super) fn line(&mut self, label: &Label, bytes: &[u8], now: i64) {
        let text = String::from_utf8_lossy(bytes);
        let replaced = matches!(text, Cow::Owned(_));
        let said = self.parser.parse(&text);
        if replaced || !self.parser.flaws().is_empty() {
            let bad = replaced.then(|| "bytes that are not UTF-8 were replaced".to_owned());
            let all: Vec<String> = bad
                .into_iter()
                .chain(self.parser.flaws().iter().cloned())
                .collect();
            self.warn(format!("{label}: {}", all.join("; ")));
        }
        match said {
            Ok(said) => self.said(said, label, now),
            Err(refused) => self.refuse(label, &refused.to_string()),
        }
    }

    /// Warns that a line is omitted, and remembers that it may have contained the objective.
    fn refuse(&mut self, label: &Label, why: &str) {
        self.parser
            .deciding()
            .note_refused(&format!("{label}: {why}"));
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
                    let (context, rank) =
                        (context.as_deref().unwrap_or_default(), self.parser.rank());
                    let said = self.steps.look(
                        name,
                        &Place {
                            log: &log,
                            context,
                            rank,
                            step,
                        },
                    );
                    said.into_iter()
                        .for_each(|said| self.warn(format!("{label}: {said}")));
                }
                let keys = self.parser.keys().iter().map(|key| &**key);
                let written = self.files.row(&log, self.parser.row(), keys, now);
                self.written(written);
            }
            Said::Dataset { path, role } => self.dataset(Path::new(&path), role, label),
            Said::Model {
                path,
                step,
                keep,
                facts,
            } => self.model(&path, step, keep, facts, label),
            Said::Stored { folder, name, text } => self.keep(folder, &name, &text, label),
            Said::Artifact { path, folder } => self.artifact(&path, folder.as_deref(), label),
            Said::Checkpoint { step } => self.pass(LogRecord::Checkpoint { step }),
            Said::Ask { id } => self.ask(id),
            Said::Note { text } => self.pass(LogRecord::Note { text }),
            Said::Outputs(values) => {
                for (name, value) in values {
                    self.parser
                        .deciding()
                        .note_elsewhere(&name, || Instead::Output);
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

    /// Handles a report; its row is in the parser.
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

    /// Returns the rank of the worker that made a report, or 0 if the report has none. If `rank` is
    /// a deciding metric, it is not a rank.
    fn rank_of(&self, values: &[(Name, Datum)]) -> u32 {
        let is_rank = !self.deciding.iter().any(|name| &**name == rank::KEY);
        let number = axis::number(values, rank::KEY).filter(|_| is_rank);
        number.and_then(rank::of_number).unwrap_or(0)
    }

    /// Returns the log for a report of the worker `rank`, and counts it unless the rank is 0. Only
    /// the reports of rank 0 decide; those of others are metrics.
    fn log_of_report(&mut self, rank: u32) -> &'static str {
        if rank == 0 {
            return REPORTS;
        }
        self.other_reports += 1;
        // One more than is listed, so that the warning can tell that the list is cut.
        if self.other_ranks.len() <= MOST_RANKS {
            self.other_ranks.insert(rank);
        }
        METRICS
    }

    /// Handles a report from this process.
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
        // The worker's rank comes from the logger, so a value of that name would be written twice.
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
        let keys = kept
            .iter()
            .map(|(name, _)| &**name)
            .chain((rank > 0).then_some(rank::KEY));
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

    /// Returns the shared copy of a name; `at` is its index in the report.
    pub(super) fn name(&mut self, at: usize, name: &str) -> Name {
        self.parser.name(at, name)
    }

    fn decide(&mut self, mut values: Vec<(Name, Datum)>, label: &Label) {
        self.recorded.reports += 1;
        self.parser.deciding().note_numbers(&values);
        if let Some(said) = self.kinds.look(&values) {
            self.warn(format!("{label}: {said}"));
        }
        // The first report with a counter fixes the axis, as in the fold.
        self.axis.place(self.recorded.reports, None, |key| {
            axis::number(&values, key)
        });
        if let Some(said) = self.repeats.look(&values, self.axis.key(), &self.deciding) {
            self.warn(format!("{label}: {said}"));
        }
        let named = values.iter().position(|(name, _)| &**name == "model_path");
        let Some(at) = named else {
            return self.pass(LogRecord::Report { values });
        };
        let step = self.axis.key().and_then(|key| axis::number(&values, key));
        let Datum::Text(path) = &values[at].1 else {
            self.warn(format!(
                "{label}: `model_path` is not a text; no model is recorded"
            ));
            return self.pass(LogRecord::Report { values });
        };
        let path = path.clone();
        let keep = values
            .iter()
            .any(|(name, datum)| &**name == "keep" && *datum == Datum::Flag(true));
        // The path is checked first, so that a report never names a model that was refused.
        if let Err(outside) = inside(&self.dirs.workdir, &path) {
            self.warn(format!(
                "{label}: `model_path` is refused, the rest is kept: {outside}"
            ));
            values.remove(at);
            if !values.is_empty() {
                self.pass(LogRecord::Report { values });
            }
            return;
        }
        self.pass(LogRecord::Report { values });
        self.model(&path, step, keep, Vec::new(), label);
    }

    /// Handles metrics from this process.
    pub(super) fn metrics(
        &mut self,
        values: &[(&str, f64)],
        point: &Point<'_>,
        rank: Option<u64>,
        now: i64,
    ) {
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
        let log = [point.log, point.context]
            .into_iter()
            .find(|log| !log.is_empty());
        let log = self.log_for(log, &Label::Metric);
        if let (Some((name, _)), Some(step)) = (values.first(), point.step) {
            let rank = rank.unwrap_or_default();
            let place = Place {
                log: &log,
                context: point.context,
                rank,
                step: step as f64,
            };
            let said = self.steps.look(name, &place);
            said.into_iter()
                .for_each(|said| self.warn(format!("a metric: {said}")));
        }
        let names = values
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| check_name(name).is_ok());
        let keys = names
            .chain(point.step.map(|_| "step"))
            .chain(point.batch.map(|_| "batch"))
            .chain(rank.map(|_| "rank"))
            .chain((!point.context.is_empty()).then_some("context"));
        let written = self.files.row(&log, &self.row, keys, now);
        self.written(written);
    }

    /// Returns the log of a metric. If its name is invalid, a warning is given and the metric goes
    /// to the default log.
    fn log_for<'l>(&mut self, log: Option<&'l str>, label: &Label) -> Cow<'l, str> {
        let Some(log) = log else {
            return Cow::Borrowed(METRICS);
        };
        if let Err(why) = check_log(log) {
            self.warn(format!("{label}: {why}; it goes to `{METRICS}`"));
            return Cow::Borrowed(METRICS);
        }
        Cow::Borrowed(log)
    }

    pub(super) fn dataset(&mut self, given: &Path, role: String, label: &Label) {
        let (recorded, found) = data_dir(&self.dirs.workdir, given);
        let (md5, size, files, partial) = match digest(&found, self.cache.as_deref()) {
            Ok(digest) => (
                Some(digest.md5),
                digest.size,
                digest.files,
                self.name_left_out(&recorded, &digest.left_out),
            ),
            Err(error) => {
                self.warn(format!(
                    "{label}: data set `{recorded}` has no digest: {}",
                    chain(&error)
                ));
                (None, 0, 0, Vec::new())
            }
        };
        self.recorded.data.retain(|(path, _)| *path != recorded);
        self.recorded.data.push((recorded.clone(), md5.clone()));
        self.pass(LogRecord::Dataset {
            data_dir: recorded,
            role,
            md5,
            size,
            files,
            partial,
        });
    }

    /// Warns about the entries that a digest leaves out, and returns them in the form of a record.
    fn name_left_out(&mut self, path: &str, left_out: &[super::LeftOut]) -> Vec<String> {
        let partial = named(left_out);
        if !partial.is_empty() {
            self.warn(format!(
                "`{path}` is partial: its digest leaves out {}; every other file is part of it",
                partial.join(", ")
            ));
        }
        partial
    }

    pub(super) fn model(
        &mut self,
        given: &str,
        step: Option<f64>,
        keep: bool,
        facts: Vec<(Name, Value)>,
        label: &Label,
    ) {
        let found = match inside(&self.dirs.workdir, given) {
            Ok(found) => found,
            Err(outside) => return self.warn(format!("{label}: the model is refused: {outside}")),
        };
        let path = found.relative;
        let is_best = facts
            .iter()
            .any(|(name, value)| &**name == "best" && *value == Value::Bool(true));
        // A line that calls a model the trial's best repeats the line before it, so it does not
        // count as a second name.
        let before = self.waiting.iter().rev().find_map(|waiting| match waiting {
            Waiting::Model(other) if other.path == path => Some(!is_best || other.named_before),
            _ => None,
        });
        let named_before =
            before.unwrap_or_else(|| self.recorded.models.iter().any(|(other, _)| *other == path));
        self.waiting.push(Waiting::Model(Box::new(NamedModel {
            label: label.to_string(),
            given: given.to_owned(),
            path: path.clone(),
            real: found.real,
            step,
            keep,
            is_best,
            named_before,
            source: None,
            version: None,
        })));
        if !facts.is_empty() {
            self.pass(LogRecord::Facts {
                model_path: path,
                facts: facts.into_iter().collect(),
            });
        }
        // A call within this process has no later lines: the model is read at once.
        if !self.reads_together {
            self.read_models(None, true);
            self.settle(true);
        }
    }

    /// Reads the models among the waiting records, which came from `source` or, without one, by a
    /// call. `ended` tells that nothing writes any more.
    fn read_models(&mut self, source: Option<Source>, ended: bool) {
        let again = named_again(&self.waiting);
        // The last record goes first, because an earlier one may share the version of a later one.
        for (at, again) in again.into_iter().enumerate().rev() {
            let version = match (again, &self.waiting[at]) {
                (NamedAgain::Overwritten, Waiting::Model(model)) => {
                    self.discard(model);
                    Some(Version::without(OVERWRITTEN))
                }
                (NamedAgain::Same(later), Waiting::Model(model)) => {
                    let Waiting::Model(later) = &self.waiting[later] else {
                        continue;
                    };
                    // Both records use the later copy, so an earlier one of its own is superfluous.
                    if model.held() != later.held() {
                        self.discard(model);
                    }
                    later.version.clone()
                }
                (NamedAgain::No { .. }, Waiting::Model(model)) if model.version.is_none() => {
                    Some(self.read_version(model))
                }
                _ => continue,
            };
            if let Waiting::Model(model) = &mut self.waiting[at] {
                model.version = version;
                let gathered = matches!(again, NamedAgain::No { gathered: true });
                let source = source.map(|source| Source {
                    is_buffered: source.is_buffered || (gathered && !ended),
                    ..source
                });
                model.source = model.source.or(source);
            }
        }
    }

    /// Holds a model's bytes if the store does so, and computes their digest. The model has no
    /// digest if it changed meanwhile.
    fn read_version(&self, model: &NamedModel) -> Version {
        let Some(real) = &model.real else {
            return Version::without(DigestError::Missing(model.given.clone().into()).to_string());
        };
        let look = || Stamp::of(&self.dirs.workdir, &model.path, real);
        let before = match look() {
            Ok(before) => before,
            Err(error) => return Version::without(error.to_string()),
        };
        // A held copy is hashed instead of the original: the digest then describes bytes that
        // nothing overwrites.
        let held = self.models.hold(&self.dirs.trial, real);
        let found = match &held {
            Some(held) => digest(&self.dirs.trial.join(&held.path), None),
            None => digest(real, self.cache.as_deref()),
        };
        let is_unchanged = look().is_ok_and(|after| after == before);
        let left_out = match (&held, &found) {
            (Some(held), _) => named(&held.left_out),
            (None, Ok(digest)) => named(&digest.left_out),
            (None, Err(_)) => Vec::new(),
        };
        let version = match found {
            Ok(digest) if is_unchanged => Ok((digest.md5, digest.size)),
            Ok(_) | Err(DigestError::Changed(_)) => Err(OVERWRITTEN.to_owned()),
            Err(error) => Err(chain(&error)),
        };
        let held = held.map(|held| held.path);
        if let (Err(_), Some(held)) = (&version, &held) {
            discard(&self.dirs.trial, held);
        }
        let held = held.filter(|_| version.is_ok());
        Version {
            digest: version,
            held,
            partial: left_out,
            stamp: Some(before),
        }
    }

    fn discard(&self, model: &NamedModel) {
        if let Some(held) = model.held() {
            discard(&self.dirs.trial, held);
        }
    }

    /// Forwards the records that waited for models. `ended` tells that nothing writes any more.
    fn settle(&mut self, ended: bool) {
        self.reads_together = false;
        if self.waiting.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        let is_open = |waiting: &Waiting| matches!(waiting, Waiting::Model(model) if model.is_unsettled() && !model.is_overwritten());
        if !ended && waiting.iter().any(is_open) {
            // A program that goes on writing gives its file a new time after the next clock tick.
            std::thread::sleep(TICK);
        }
        for waiting in &mut waiting {
            let Waiting::Model(model) = waiting else {
                continue;
            };
            if model.is_overwritten() || (!ended && model.is_unsettled() && self.has_changed(model))
            {
                self.discard(model);
                model.version = Some(Version::without(OVERWRITTEN));
            }
        }
        for waiting in waiting {
            match waiting {
                Waiting::Record(record) => self.pass(record),
                Waiting::Question(id) => self.sink.ask(id),
                Waiting::Model(model) => self.record_model(*model),
            }
        }
    }

    fn has_changed(&self, model: &NamedModel) -> bool {
        let (Some(real), Some(stamp)) = (&model.real, model.stamp()) else {
            return false;
        };
        Stamp::of(&self.dirs.workdir, &model.path, real).map_or(true, |now| now != *stamp)
    }

    fn record_model(&mut self, mut model: NamedModel) {
        let version = model.version.take();
        let Version {
            digest,
            held,
            partial,
            ..
        } = version.unwrap_or_else(|| Version::without(OVERWRITTEN));
        let NamedModel {
            label,
            path: model_path,
            step,
            keep,
            ..
        } = &model;
        let (model_path, step, keep) = (model_path.clone(), *step, *keep);
        if !partial.is_empty() {
            self.warn(format!(
                "{label}: model `{model_path}` is partial: its digest leaves out {}",
                partial.join(", ")
            ));
        }
        let (md5, size, doubt) = match digest {
            Ok((md5, size)) => (Some(md5), size, None),
            Err(why) => (None, 0, Some(why)),
        };
        match &doubt {
            Some(why) if why != OVERWRITTEN => {
                self.warn(format!("{label}: model `{model_path}` has no digest: {why}"));
            }
            Some(why) if self.overwritten.insert(model_path.clone()) => self.warn(format!(
                "{label}: model `{model_path}` has no digest: {why}; write each version to a file of \
                 its own (this is told once, each record says whether it has a digest)"
            )),
            _ => {}
        }
        self.recorded.models.retain(|(path, _)| *path != model_path);
        self.recorded.models.push((model_path.clone(), md5.clone()));
        if doubt.as_deref() == Some(OVERWRITTEN) {
            let reports = self.recorded.reports;
            self.in_doubt
                .insert(model_path.clone(), LastInDoubt { model, reports });
        } else {
            self.in_doubt.remove(&model_path);
        }
        self.pass(LogRecord::Model {
            model_path,
            md5,
            size,
            step,
            held,
            keep,
            doubt,
            partial,
        });
    }

    pub(super) fn artifact(&mut self, given: &str, folder: Option<&str>, label: &Label) {
        match self.stored(given, folder) {
            Ok((path, digest)) => {
                let partial = named(&digest.left_out);
                if !partial.is_empty() {
                    self.warn(format!(
                        "{label}: the artifact `{given}` is partial: it is stored without {}",
                        partial.join(", ")
                    ));
                }
                let (md5, size) = (Some(digest.md5), digest.size);
                self.pass(LogRecord::Artifact {
                    path,
                    md5,
                    size,
                    partial,
                });
            }
            Err(why) => self.warn(format!("{label}: the artifact is not stored: {why}")),
        }
    }

    /// Stores a text as a file of the trial.
    fn keep(&mut self, folder: &'static str, name: &str, text: &str, label: &Label) {
        let kept =
            artifacts::keep(&self.dirs.trial, folder, name, text.as_bytes()).and_then(|path| {
                Ok((
                    digest(&self.dirs.trial.join(&path), None).map_err(std::io::Error::other)?,
                    path,
                ))
            });
        match kept {
            Ok((digest, path)) => {
                let (md5, size) = (Some(digest.md5), digest.size);
                self.pass(LogRecord::Artifact {
                    path,
                    md5,
                    size,
                    partial: Vec::new(),
                });
            }
            Err(why) => self.warn(format!(
                "{label}: the {folder} is not stored: {}",
                chain(&why)
            )),
        }
    }

    fn stored(&self, given: &str, folder: Option<&str>) -> Result<(String, super::Digest), String> {
        let found = inside(&self.dirs.workdir, given).map_err(|outside| outside.to_string())?;
        let real = found
            .real
            .ok_or_else(|| DigestError::Missing(given.into()).to_string())?;
        let stored = artifacts::store(&self.dirs.trial, &real, &found.relative, folder)
            .map_err(|error| chain(&error))?;
        let digest =
            digest(&self.dirs.trial.join(&stored.path), None).map_err(|error| chain(&error))?;
        let left_out = [stored.left_out, digest.left_out].concat();
        Ok((stored.path, super::Digest { left_out, ..digest }))
    }

    pub(super) fn output(&mut self, name: Name, value: Value) {
        self.pass(LogRecord::Output { name, value });
    }

    pub(super) fn param(&mut self, name: &str, value: Value) {
        self.pass(LogRecord::Param {
            name: name.into(),
            value,
        });
    }

    /// Forwards a record to the sink. If a model is still unread, the record waits behind it, so
    /// that the order is kept.
    pub(super) fn pass(&mut self, record: LogRecord) {
        if !self.waiting.is_empty() {
            return self.waiting.push(Waiting::Record(record));
        }
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
            // The next attempt would remove the answer as well, so an error here does no harm.
            let _ = Answer::clear(&self.dirs.trial);
        }
        if let Some(said) = self.only_others_reported() {
            self.warn(said);
        }
        let more = self.recorded.warnings.saturating_sub(MOST_WARNINGS);
        if more > 0 {
            self.pass(LogRecord::Warning {
                text: format!("and {more} more warnings like these"),
            });
        }
        self.recorded.clone()
    }

    /// Returns the warning that no report decides because workers other than rank 0 made all of
    /// them; `None` if that is not so.
    fn only_others_reported(&self) -> Option<String> {
        if self.recorded.reports > 0 || self.other_reports == 0 {
            return None;
        }
        let listed = self
            .other_ranks
            .iter()
            .take(MOST_RANKS)
            .map(ToString::to_string);
        let more = (self.other_ranks.len() > MOST_RANKS).then(|| "…".to_owned());
        let ranks = listed.chain(more).collect::<Vec<_>>().join(", ");
        Some(format!(
            "none of {} reports decides: they are of rank {ranks}, and only rank 0 decides. \
             Let rank 0 report; if `rank` is a value of your own, give it another name",
            self.other_reports
        ))
    }

    /// Warns once that the trial's own files cannot be written. The journal has the reports all the
    /// same.
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

/// The place that a warning names.
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
