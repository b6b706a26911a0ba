//! Records models, each with the digest of the bytes that its record belongs to. The rules are
//! those of `docs/records.md`, "Models that are written over".

use super::Supervised;
use super::label::Label;
use crate::batch::{
    LastInDoubt, NamedAgain, NamedModel, OVERWRITTEN, Source, TICK, Version, Waiting, named_again,
};
use crate::inside::inside;
use swath_model::space::{Name, Params, Value};
use swath_model::study::LogRecord;

impl Supervised {
    /// Handles a model that a record names.
    pub(super) fn model(
        &mut self,
        path_in_record: &str,
        step: Option<f64>,
        keep: bool,
        facts: Vec<(Name, Value)>,
        label: &Label,
    ) {
        let inside = match inside(&self.dirs.workdir, path_in_record) {
            Ok(inside) => inside,
            Err(outside) => return self.warn(format!("{label}: the model is refused: {outside}")),
        };
        let path = inside.relative;
        let is_best = facts
            .iter()
            .any(|(name, value)| &**name == "best" && *value == Value::Bool(true));
        let facts: Params = facts.into_iter().collect();
        let model = NamedModel {
            label: label.to_string(),
            line_end: self.forwarder.line_end,
            path_in_record: path_in_record.to_owned(),
            path: path.clone(),
            real: inside.real,
            step,
            keep,
            facts: facts.clone(),
            is_best,
            named_before: self.was_named_before(&path, is_best),
            source: None,
            version: None,
        };
        let waiting = self.forwarder.waiting();
        waiting.push(Waiting::Model(Box::new(model)));
        self.record_facts(path, facts);
        // A call within this process has no later lines: the model is read at once.
        if !self.reads_batch {
            self.read_models(None, true);
            self.settle(true);
        }
    }

    /// Returns whether an earlier record named the path. A record that calls a model the trial's
    /// best repeats the record before it, so it does not count as a second name.
    fn was_named_before(&mut self, path: &str, is_best: bool) -> bool {
        for waiting in self.forwarder.waiting().iter().rev() {
            if let Waiting::Model(model) = waiting
                && model.path == path
            {
                return !is_best || model.named_before;
            }
        }
        let mut recorded = self.recorded.models.iter();
        recorded.any(|(other, _)| other == path)
    }

    /// Reads the models among the waiting records, which came from `source` or, without one, by a
    /// call. `ended` tells that the program has ended.
    pub(super) fn read_models(&mut self, source: Option<Source>, ended: bool) {
        let waiting = self.forwarder.waiting();
        let names = named_again(waiting);
        // The last record goes first, because an earlier one may share the version of a later one.
        for (index, again) in names.into_iter().enumerate().rev() {
            let Waiting::Model(model) = &waiting[index] else {
                continue;
            };
            let version = match again {
                NamedAgain::Overwritten => {
                    self.reader.discard(model);
                    Some(Version::without(OVERWRITTEN))
                }
                NamedAgain::Same(later) => {
                    let Waiting::Model(later) = &waiting[later] else {
                        continue;
                    };
                    // Both records use the later copy, so an earlier one of its own is superfluous.
                    if model.held() != later.held() {
                        self.reader.discard(model);
                    }
                    later.version.clone()
                }
                NamedAgain::No { .. } if model.version.is_none() => Some(self.reader.read(model)),
                NamedAgain::No { .. } => continue,
            };
            let is_gathered = again == NamedAgain::No { gathered: true };
            if let Waiting::Model(model) = &mut waiting[index] {
                model.version = version;
                model.source = model.source.or(source.map(|source| Source {
                    is_buffered: source.is_buffered || (is_gathered && !ended),
                    ..source
                }));
            }
        }
    }

    /// Forwards the records that waited for models. `ended` tells that the program has ended.
    pub(super) fn settle(&mut self, ended: bool) {
        self.reads_batch = false;
        let mut waiting = std::mem::take(self.forwarder.waiting());
        if !ended && waiting.iter().any(Waiting::needs_recheck) {
            // A program that goes on writing gives its file a new time after the next clock tick.
            std::thread::sleep(TICK);
        }
        for waiting in &mut waiting {
            let Waiting::Model(model) = waiting else {
                continue;
            };
            let needs_recheck = !ended && model.is_unsettled();
            if model.is_overwritten() || (needs_recheck && self.reader.has_changed(model)) {
                self.reader.discard(model);
                model.version = Some(Version::without(OVERWRITTEN));
            }
        }
        for waiting in waiting {
            match waiting {
                Waiting::Record(record, line_end) => {
                    self.forwarder.line_end = line_end;
                    self.forward(record);
                }
                Waiting::Question(id) => self.forwarder.ask(id),
                Waiting::Model(model) => {
                    self.forwarder.line_end = model.line_end;
                    self.record_model(*model);
                }
            }
        }
        self.forwarder.line_end = None;
    }

    fn record_facts(&mut self, model_path: String, facts: Params) {
        if !facts.is_empty() {
            self.forward(LogRecord::Facts { model_path, facts });
        }
    }

    fn record_model(&mut self, mut model: NamedModel) {
        let version = model.version.take();
        let version = version.unwrap_or_else(|| Version::without(OVERWRITTEN));
        self.warn_of_version(&model, &version);
        let model_path = model.path.clone();
        let (md5, size, doubt) = match version.digest {
            Ok((md5, size)) => (Some(md5), size, None),
            Err(why) => (None, 0, Some(why)),
        };
        self.recorded.models.retain(|(path, _)| *path != model_path);
        self.recorded.models.push((model_path.clone(), md5.clone()));
        let (step, keep) = (model.step, model.keep);
        if doubt.as_deref() == Some(OVERWRITTEN) {
            let reports = self.recorded.reports;
            self.in_doubt
                .insert(model_path.clone(), LastInDoubt { model, reports });
        } else {
            self.in_doubt.remove(&model_path);
        }
        self.forward(LogRecord::Model {
            model_path,
            md5,
            size,
            step,
            held: version.held,
            keep,
            doubt,
            partial: version.partial,
        });
    }

    /// Warns if a model is partial or has no digest. The warning that a path was overwritten is
    /// given once.
    fn warn_of_version(&mut self, model: &NamedModel, version: &Version) {
        let NamedModel { label, path, .. } = model;
        if !version.partial.is_empty() {
            self.warn(format!(
                "{label}: model `{path}` is partial: its digest leaves out {}",
                version.partial.join(", ")
            ));
        }
        let Err(why) = &version.digest else {
            return;
        };
        if why != OVERWRITTEN {
            self.warn(format!("{label}: model `{path}` has no digest: {why}"));
        } else if self.overwritten.insert(path.clone()) {
            self.warn(format!(
                "{label}: model `{path}` has no digest: {why}; write each version to a file of \
                 its own (this warning is given once; every record states whether it has a digest)"
            ));
        }
    }

    /// Records the last model of a path again, now with its digest, if it had none and the program
    /// has ended.
    ///
    /// Only a model after the last report is recorded again, because a new record belongs to the
    /// last report.
    pub(super) fn read_last_again(&mut self, source: Source) {
        let last_path = self.recorded.models.last().map(|(path, _)| path.clone());
        for (path, last) in std::mem::take(&mut self.in_doubt) {
            if !last.is_from_file_of(source) {
                self.in_doubt.insert(path, last);
                continue;
            }
            let is_last =
                last.reports == self.recorded.reports && last_path.as_ref() == Some(&path);
            let mut model = last.model;
            let version = self.reader.read(&model);
            let has_digest = version.digest.is_ok();
            model.source = Some(source);
            model.version = Some(version);
            if has_digest && !model.is_overwritten() && is_last {
                // Facts belong to the record before them.
                let facts = std::mem::take(&mut model.facts);
                self.record_model(model);
                self.record_facts(path, facts);
            } else {
                self.reader.discard(&model);
            }
        }
    }
}
