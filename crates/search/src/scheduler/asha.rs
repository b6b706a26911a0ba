//! Asynchronous successive halving (ASHA): at each rung the best 1/η of the trials continue. A
//! trial is judged the moment it arrives, without waiting for others.
//!
//! Li et al., *A System for Massively Parallel Hyperparameter Tuning*, MLSys 2020 (arXiv
//! 1810.05934). There are two modes. *Stopping*: a trial is stopped at a rung unless it is among
//! the best 1/η seen there so far; no checkpoints are needed. *Promotion*: every trial pauses at
//! its rung, and the best 1/η of a rung are resumed as results come in. The implementation differs
//! from the paper and from other implementations in two points. In promotion mode a rung never
//! promotes more than its share while new trials can be created. In stopping mode the first trials
//! at a rung, which have few competitors, must be no worse than the median of the rung below.
//!
//! With `promote = "predicted"` a part of the resource goes to trials that a model expects to end
//! best, whatever their rank (`prediction.rs`).
//!
//! Several objectives are ranked together, by non-dominated fronts. A trial that no other at its
//! rung dominates is never stopped, so the first trials at a rung are not compared with a median.
//! If such a trial is paused, it is promoted at the latest when no more trials can be created.

use super::prediction::{self, Prediction};
use super::ranking::{Ranking, Rung};
use super::report_reader::{self, Reading, ReportReader};
use super::rung_levels::{self, RungLevels};
use super::{Judgement, Next, TrialScheduler};
use std::collections::BTreeSet;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Span, Takes};
use swath_model::study::kind::Capability;
use swath_model::study::{Event, Kind, Resource, Setting, Study, TrialId, TrialState, Verdict};

pub(super) const KIND: Kind<dyn TrialScheduler> = Kind {
    name: "asha",
    about: "asynchronous successive halving: the best 1/reduction of each rung continue",
    paper: Some(
        "Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020 (arXiv 1810.05934)",
    ),
    options: &[
        rung_levels::MIN,
        rung_levels::MAX,
        rung_levels::REDUCTION,
        MODE,
        prediction::PROMOTE,
        report_reader::METRIC,
    ],
    capabilities: &[Capability::Rungs],
    build: |mut section, setting, diagnostics| {
        let asha = Asha::take(&mut section, setting, diagnostics);
        let is_predicted = prediction::take(&mut section, diagnostics);
        let asha = asha?;
        Some(Box::new(match is_predicted? {
            Some(span) => asha.predicting(setting, span, diagnostics)?,
            None => asha,
        }))
    },
};

/// The option `mode`: how a rung treats trials that are not among its best.
pub(super) const MODE: Opt = Opt::new(
    "mode",
    Takes::OneOf(&["stopping", "promotion", "restart"]),
    Preset::Derived("`promotion` with `[run] checkpoint = true`, else `stopping`"),
    "whether a rung stops the trials that are not among its best, or pauses every trial and \
     resumes the best; `promotion` needs checkpoints, `restart` begins promoted trials at zero",
);

/// The treatment of trials that are not among the best of their rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They are stopped for good. The best continue without a pause.
    Stopping,
    /// Every trial pauses, and the best are resumed; without checkpoints from zero.
    Promotion,
}

/// The scheduler: rungs with their results, and the position of every trial.
pub(super) struct Asha {
    /// Reads resource and objectives from the reports.
    reader: ReportReader,
    /// The resources of the rungs.
    rung_levels: RungLevels,
    /// The treatment of trials that are not among the best of their rung.
    mode: Mode,
    /// The results at each rung, lowest first.
    rungs: Vec<Rung>,
    /// The position of each trial. The index is the trial id minus one.
    positions: Vec<RungPosition>,
    /// Trials paused between rungs: interrupted after a promotion, or paused under an older sweep
    /// file. They are resumed before any other trial.
    between_rungs: BTreeSet<TrialId>,
    /// Promotes by prediction too.
    prediction: Option<Prediction>,
}

/// The position of a trial among the rungs.
#[derive(Debug, Clone, Default, PartialEq)]
struct RungPosition {
    /// The rung up to which the trial may run; it is judged there. Results at lower rungs are
    /// recorded, but the trial is not judged by them.
    target: usize,
    /// The highest rung reached in any attempt.
    seen: Option<usize>,
    /// The oriented scores at that rung.
    scores: Vec<f64>,
    /// The highest rung reached since the last start from zero. A rerun without a checkpoint passes
    /// the lower rungs again without being judged again.
    crossed: Option<usize>,
    /// A decision that is not yet committed as `Judged`.
    uncommitted: Option<Judgement>,
    /// The trial was judged to pause, stop or end, and its attempt has not exited yet.
    ending: bool,
    /// The trial was stopped. What it still reports before it exits depends on how long that takes,
    /// so those reports are not compared with other trials.
    stopped: bool,
    /// Whether the trial rests between attempts.
    rest: Rest,
}

/// Whether a trial rests between attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Rest {
    /// The trial runs, waits, or has ended for good.
    #[default]
    No,
    /// The trial is paused.
    Paused,
    /// The trial was stopped by the scheduler; only a user can resume it.
    Stopped,
}

impl Asha {
    /// Takes the options of `[scheduler]` from the section. Returns `None`, with diagnostics, if
    /// one is wrong.
    pub(super) fn take(
        section: &mut Section,
        setting: &Setting,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let rung_levels = RungLevels::take(section, diagnostics);
        let mode = Mode::take(section, setting, diagnostics);
        let reader = ReportReader::take(section, setting, diagnostics);
        Some(Self::new(reader?, rung_levels?, mode?))
    }

    /// Does the same as [`take`](Self::take) without the option `mode`.
    pub(super) fn with_mode(
        section: &mut Section,
        setting: &Setting,
        mode: Mode,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let rung_levels = RungLevels::take(section, diagnostics);
        let reader = ReportReader::take(section, setting, diagnostics);
        Some(Self::new(reader?, rung_levels?, mode))
    }

    /// Creates a scheduler with empty rungs.
    fn new(reader: ReportReader, rung_levels: RungLevels, mode: Mode) -> Self {
        let rungs = vec![Rung::of(reader.objectives()); rung_levels.top() + 1];
        Self {
            reader,
            rung_levels,
            mode,
            rungs,
            positions: Vec::new(),
            between_rungs: BTreeSet::new(),
            prediction: None,
        }
    }

    /// Promotes by prediction too, as the option at `span` says. Returns `None`, with a diagnostic,
    /// if trials never pause or there are several objectives.
    fn predicting(
        self,
        setting: &Setting,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let (label, hint) = match (self.mode, setting.objectives.len()) {
            (Mode::Promotion, 1) => return Some(self.with_prediction(setting)),
            (Mode::Promotion, _) => (
                "predicts the end of a single objective",
                "leave it out: several objectives are ranked by fronts",
            ),
            (Mode::Stopping, _) => (
                "needs trials that pause",
                "write `mode = \"restart\"`, or `checkpoint = true` in `[run]` if the program resumes \
                 from SWATH_CHECKPOINT_DIR",
            ),
        };
        let message = "`promote = \"predicted\"` does not fit here";
        diagnostics.push(
            Diagnostic::error("no-prediction", message)
                .at(span, label)
                .hint(hint),
        );
        None
    }

    /// Promotes by prediction too, if there is a single objective.
    pub(super) fn with_prediction(self, setting: &Setting) -> Self {
        let max = Resource(self.rung_levels.level(self.rung_levels.top()));
        Self {
            prediction: Prediction::new(setting, max),
            ..self
        }
    }

    /// Returns the rungs' resources.
    pub(super) fn rung_levels(&self) -> &RungLevels {
        &self.rung_levels
    }

    /// Lets a new trial run up to `rung` before it is first judged.
    pub(super) fn begin(&mut self, trial: TrialId, rung: usize) {
        if let Some(position) = self.position_mut(trial) {
            position.target = rung;
        }
    }

    /// Returns the position of a trial.
    fn position(&self, trial: TrialId) -> Option<&RungPosition> {
        self.positions.get((trial.0 as usize).checked_sub(1)?)
    }

    /// Returns the position of a trial for changes.
    fn position_mut(&mut self, trial: TrialId) -> Option<&mut RungPosition> {
        self.positions.get_mut((trial.0 as usize).checked_sub(1)?)
    }

    /// Records a result at the highest rung that it reaches, and decides if the trial was allowed
    /// to run no further.
    fn arrive(&mut self, study: &Study, reading: Reading) {
        let Reading {
            trial,
            at,
            ref scores,
        } = reading;
        let (Some(rung), Some(position)) = (self.rung_levels.reached(at), self.position(trial))
        else {
            return;
        };
        // At the top a trial is complete by `max`; there is nothing to decide.
        let free = rung < position.target || rung == self.rung_levels.top();
        let decided = position.ending || position.uncommitted.is_some();
        // A stop that is decided but not yet committed counts like a committed one.
        let verdict = position
            .uncommitted
            .as_ref()
            .map(|judgement| judgement.verdict);
        if position.stopped || verdict == Some(Verdict::Stop) {
            return;
        }
        // Only the first result at a rung counts. Later ones on the way to the next rung used more
        // resource than those of the other trials.
        if position.crossed.is_none_or(|crossed| rung > crossed) {
            self.record(study, rung, trial, scores);
        }
        if free || decided {
            return;
        }
        // A trial that reports rarely may skip rungs: it is judged where it was seen.
        if let Some(position) = self.position_mut(trial) {
            position.target = rung;
        }
        let judgement = match self.mode {
            Mode::Stopping => self.judge(study, rung, trial, scores),
            Mode::Promotion => self.pause(rung, trial, scores),
        };
        if judgement.verdict == Verdict::Continue {
            self.count_promotion(trial, rung);
        }
        if let Some(position) = self.position_mut(trial) {
            position.uncommitted = Some(judgement);
        }
    }

    /// Adds the scores of a trial to the results of a rung.
    fn record(&mut self, study: &Study, rung: usize, trial: TrialId, scores: &[f64]) {
        let Some(position) = self.position_mut(trial) else {
            return;
        };
        position.crossed = Some(rung);
        // A rerun passes a rung that has a result of the trial already: the new result replaces the
        // old one, and the highest rung stays.
        let again = position.seen.is_some_and(|seen| rung <= seen);
        if !again {
            (position.seen, position.scores) = (Some(rung), scores.to_vec());
        } else {
            self.rungs[rung].results.remove(trial);
        }
        // A configuration outside the edited space must not set the bar for others.
        if is_inside(study, trial) {
            self.rungs[rung].results.add(scores, trial);
        }
    }

    /// Counts a promotion from a rung and moves the trial's target up.
    fn count_promotion(&mut self, trial: TrialId, rung: usize) {
        self.rungs[rung].promotions += 1;
        if let Some(position) = self.position_mut(trial) {
            position.target = rung + 1;
        }
    }

    /// Judges a trial at a rung in stopping mode.
    fn judge(&self, study: &Study, at: usize, trial: TrialId, scores: &[f64]) -> Judgement {
        let results = &self.rungs[at].results;
        let rank = format!(
            "rank {} of {}",
            results.place(scores, trial) + 1,
            results.len()
        );
        let here = self
            .reader
            .describe(self.rung_levels.level(at) as f64, scores);
        let is_finite = scores.iter().all(|score| score.is_finite());
        let (passes, bar) = match self.reader.objectives() {
            1 => self.passes(at, trial, scores),
            _ => self.passes_by_front(at, trial, scores),
        };
        // Stopping it would leave the study without any complete trial.
        if !passes && is_finite && last_hope(study) {
            let why = format!("{here}{bar}, {rank}, but the last trial left");
            return Judgement {
                verdict: Verdict::Continue,
                why,
            };
        }
        let verdict = if passes {
            Verdict::Continue
        } else {
            Verdict::Stop
        };
        Judgement {
            verdict,
            why: format!("{here}{bar}, {rank}"),
        }
    }

    /// Returns the number of trials of a rung that continue: 1/η of its results, rounded down.
    fn share(&self, at: usize) -> usize {
        self.rungs[at].results.len() / self.rung_levels.reduction as usize
    }

    /// Returns whether a trial passes a rung by several objectives, and in words the bar it was
    /// measured by. A trial that no other at the rung dominates always passes.
    fn passes_by_front(&self, at: usize, trial: TrialId, scores: &[f64]) -> (bool, String) {
        let results = &self.rungs[at].results;
        let share = self.share(at).max(1);
        match results.front(scores) {
            Some(0) => (true, ", dominated by none".to_owned()),
            Some(front) => {
                let bar = format!(", in front {}, needed front 1 or rank {share}", front + 1);
                (results.place(scores, trial) < share, bar)
            }
            None => (false, String::new()),
        }
    }

    /// Returns whether a trial passes a rung by its only score, and in words the score that was
    /// needed.
    fn passes(&self, at: usize, trial: TrialId, scores: &[f64]) -> (bool, String) {
        let score = scores.first().copied().unwrap_or(f64::INFINITY);
        let results = &self.rungs[at].results;
        let share = self.share(at).max(1);
        let mut needed = results.score(share - 1).filter(|needed| needed.is_finite());
        let mut from = String::new();
        // Among fewer than η results the first arrival would always pass. The median of the nearest
        // lower rung with enough results is used if it is stricter.
        if share == 1 && results.len() < self.rung_levels.reduction as usize {
            let below = (0..at)
                .rev()
                .find_map(|below| Some((below, self.median(below, trial)?)));
            if let Some((below, median)) =
                below.filter(|(_, median)| needed.is_none_or(|needed| *median < needed))
            {
                needed = Some(median);
                from = format!(
                    " (the median at {})",
                    self.reader.describe_resource(self.rung_levels.level(below))
                );
            }
        }
        let passes = score.is_finite() && needed.is_none_or(|needed| score <= needed);
        let bar = needed.map(|needed| format!(", {}{from}", self.reader.describe_bound(needed)));
        (passes, bar.unwrap_or_default())
    }

    /// Returns the median of the finite results of a rung without this trial. Returns `None` with
    /// fewer than η of them, or with several objectives.
    fn median(&self, rung: usize, without: TrialId) -> Option<f64> {
        let Ranking::One(results) = &self.rungs[rung].results else {
            return None;
        };
        let finite = results.iter().take_while(|(score, _)| score.is_finite());
        let others: Vec<f64> = finite
            .filter(|(_, trial)| *trial != without)
            .map(|(score, _)| *score)
            .collect();
        (others.len() >= self.rung_levels.reduction as usize).then(|| others[others.len() / 2])
    }

    /// Judges a trial at a rung in promotion mode. The trial pauses, unless it would be resumed
    /// next anyway.
    fn pause(&self, at: usize, trial: TrialId, scores: &[f64]) -> Judgement {
        let results = &self.rungs[at].results;
        let here = self
            .reader
            .describe(self.rung_levels.level(at) as f64, scores);
        let rank = format!(
            "rank {} of {}",
            results.place(scores, trial) + 1,
            results.len()
        );
        if self.candidate(at, Some(trial)) == Some(trial) {
            return Judgement {
                verdict: Verdict::Continue,
                why: format!("{here}, {rank}"),
            };
        }
        Judgement {
            verdict: Verdict::Pause,
            why: format!("{here}, {rank}, waits to be promoted"),
        }
    }

    /// Returns the trial to promote from a rung: the best resting or arriving one among the best
    /// 1/η. Returns `None` if the rung has promoted its share already.
    fn candidate(&self, at: usize, arriving: Option<TrialId>) -> Option<TrialId> {
        let share = self.share(at);
        if self.rungs[at].promotions >= share {
            return None;
        }
        let mut best = self.rungs[at].results.best(share);
        best.find(|trial| self.rests_at(*trial, at) || arriving == Some(*trial))
    }

    /// Returns whether a trial is paused at this rung and was judged there.
    fn rests_at(&self, trial: TrialId, rung: usize) -> bool {
        self.position(trial).is_some_and(|position| {
            position.rest == Rest::Paused && position.target == rung && position.seen == Some(rung)
        })
    }

    /// Returns whether a trial rests at its rung and is not the one that its rank promotes.
    fn rests_behind(&self, trial: TrialId) -> bool {
        self.position(trial).is_some_and(|position| {
            let rung = position.target;
            self.rests_at(trial, rung) && self.candidate(rung, None) != Some(trial)
        })
    }

    /// Returns the trial that is promoted by prediction, with its rung.
    fn predicted(&self, study: &Study) -> Option<(usize, TrialId)> {
        let positions = (1..).map(TrialId).zip(&self.positions);
        let resting = positions
            .filter(|(trial, position)| self.rests_at(*trial, position.target))
            .filter(|(trial, _)| is_inside(study, *trial));
        let trial = self
            .prediction
            .as_ref()?
            .choose(resting.map(|(trial, _)| trial))?;
        Some((self.position(trial)?.target, trial))
    }

    /// Returns the best paused trial of the highest rung if no trial is complete and none has a
    /// finite result at the top. Used when no more trials can be created, so that the study has a
    /// result.
    fn last(&self, study: &Study) -> Option<(usize, TrialId)> {
        if study.counts().complete > 0 || self.rungs[self.rung_levels.top()].results.has_finite() {
            return None;
        }
        (0..self.rung_levels.top()).rev().find_map(|rung| {
            let best = self.rungs[rung].results.best(usize::MAX);
            let mut resting = best.filter(|trial| self.rests_at(*trial, rung));
            resting.next().map(|trial| (rung, trial))
        })
    }

    /// Returns a paused trial that no other at its rung dominates, highest rung first; `None` with
    /// a single objective. Used when no more trials can be created. Such a trial continues whatever
    /// the share of the rung.
    fn undominated(&self) -> Option<(usize, TrialId)> {
        (0..self.rung_levels.top()).rev().find_map(|rung| {
            let undominated = self.rungs[rung].results.undominated();
            let resting = undominated
                .into_iter()
                .find(|trial| self.rests_at(*trial, rung));
            resting.map(|trial| (rung, trial))
        })
    }

    /// Returns the resumption of a trial from a rung, with its reason.
    fn promote(&self, rung: usize, trial: TrialId, because: &str) -> Next {
        let scores = self
            .position(trial)
            .map_or(&[][..], |position| &*position.scores);
        let results = &self.rungs[rung].results;
        let here = self
            .reader
            .describe(self.rung_levels.level(rung) as f64, scores);
        let why = format!(
            "{here}, rank {} of {}{because}, goes on to {}",
            results.place(scores, trial) + 1,
            results.len(),
            self.reader
                .describe_resource(self.rung_levels.level(rung + 1))
        );
        Next::Resume { trial, why }
    }

    /// Ends the rest of a trial whose next attempt was requested or has started.
    fn leave(&mut self, trial: TrialId) {
        self.between_rungs.remove(&trial);
        let is_predicted = self.prediction.is_some() && self.rests_behind(trial);
        let Some(position) = self.position_mut(trial) else {
            return;
        };
        let rested = std::mem::take(&mut position.rest) != Rest::No;
        // A trial that rests at its target is promoted by being resumed. A trial paused below its
        // target only continues.
        if let Some(seen) = position.seen
            && rested
            && seen == position.target
            && seen < self.rung_levels.top()
        {
            self.count_promotion(trial, seen);
            // A predicted trial takes no place from those of the best rank.
            self.rungs[seen].promotions -= usize::from(is_predicted);
        }
    }

    /// Records how an attempt ended.
    fn end(&mut self, study: &Study, trial: TrialId) {
        let Some(position) = self.position_mut(trial) else {
            return;
        };
        position.rest = match study.trial(trial).map(|trial| &trial.state) {
            Some(TrialState::Paused) => Rest::Paused,
            Some(TrialState::Stopped) => Rest::Stopped,
            _ => Rest::No,
        };
        // Paused before it reached its target, so no rung holds it as a candidate.
        let below = position.seen.is_none_or(|seen| seen < position.target);
        if position.rest == Rest::Paused && below {
            self.between_rungs.insert(trial);
        }
    }
}

/// Returns whether a trial fits the space of the sweep file, which may have been edited.
fn is_inside(study: &Study, trial: TrialId) -> bool {
    study.trial(trial).is_some_and(|trial| !trial.outside)
}

impl TrialScheduler for Asha {
    fn observe(&mut self, study: &Study, event: &Event) {
        if let Some(mut prediction) = self.prediction.take() {
            let is_predicted = matches!(event,
                Event::Started { trial, .. } if self.rests_behind(*trial));
            prediction.observe(study, event, is_predicted);
            self.prediction = Some(prediction);
        }
        if let Some(reading) = self.reader.observe(study, event) {
            self.arrive(study, reading);
        }
        match event {
            Event::Edited { .. } | Event::Removed { .. } | Event::Restored { .. } => {
                self.rungs.iter_mut().for_each(|rung| rung.refit(study));
            }
            Event::Created { .. } => self.positions.push(RungPosition::default()),
            Event::Started { trial, resume, .. } => {
                self.leave(*trial);
                if let Some(position) = self.position_mut(*trial) {
                    position.uncommitted = None;
                    position.ending = false;
                    position.stopped = false;
                    // Without a checkpoint the attempt starts from zero.
                    position.crossed = position.crossed.filter(|_| *resume);
                }
            }
            Event::Requeued { trial, .. } => self.leave(*trial),
            Event::Judged { trial, verdict, .. } => {
                let resting = study
                    .trial(*trial)
                    .is_some_and(|trial| trial.state.is_final());
                if let Some(position) = self.position_mut(*trial) {
                    position.uncommitted = None;
                    position.ending |= *verdict != Verdict::Continue;
                    position.stopped |= *verdict == Verdict::Stop;
                    // A paused trial was stopped directly, so no `Ended` will follow.
                    if resting {
                        position.rest = Rest::Stopped;
                        self.between_rungs.remove(trial);
                    }
                }
            }
            Event::Ended { trial, .. } => self.end(study, *trial),
            _ => {}
        }
    }

    fn next(&self, study: &Study, room: bool) -> Next {
        // These rest between two rungs and compete with no other trial, so they continue first.
        if let Some(trial) = self
            .between_rungs
            .iter()
            .find(|trial| is_inside(study, **trial))
        {
            let target = self.position(*trial).map_or(0, |position| position.target);
            let why = format!(
                "goes on to {}",
                self.reader
                    .describe_resource(self.rung_levels.level(target))
            );
            return Next::Resume { trial: *trial, why };
        }
        // From the highest rung down: trials close to completion first.
        let promoted = (0..self.rung_levels.top())
            .rev()
            .find_map(|rung| Some((rung, self.candidate(rung, None)?)));
        if let Some((rung, trial)) = promoted {
            return self.promote(rung, trial, "");
        }
        if room {
            let because = ", its end is expected to improve most";
            return self.predicted(study).map_or(Next::Fresh, |(rung, trial)| {
                self.promote(rung, trial, because)
            });
        }
        // No more trials can be created: a non-dominated trial continues rather than leave the slot
        // idle.
        if let Some((rung, trial)) = self.undominated() {
            return self.promote(rung, trial, ", dominated by none");
        }
        match super::wait_or_done(study) {
            Next::Done => self.last(study).map_or(Next::Done, |(rung, trial)| {
                self.promote(rung, trial, ", the best at the end of the study")
            }),
            wait => wait,
        }
    }

    fn verdict(&self, _: &Study, trial: TrialId) -> Judgement {
        let uncommitted = self
            .position(trial)
            .and_then(|position| position.uncommitted.clone());
        uncommitted.unwrap_or(Judgement {
            verdict: Verdict::Continue,
            why: String::new(),
        })
    }

    fn until(&self, _: &Study, trial: TrialId) -> Option<Resource> {
        // A trial that passes is never paused, so the attempt runs to the top.
        if self.mode == Mode::Stopping {
            return Some(Resource(self.rung_levels.level(self.rung_levels.top())));
        }
        let position = self.position(trial)?;
        // The promotion is counted only once the attempt starts; until then the target is still the
        // rung it rests at.
        let promoted = position.rest != Rest::No && position.seen == Some(position.target);
        Some(Resource(
            self.rung_levels
                .level(position.target + usize::from(promoted)),
        ))
    }

    fn max(&self) -> Option<Resource> {
        Some(Resource(self.rung_levels.level(self.rung_levels.top())))
    }

    fn finished(&self, study: &Study, trial: TrialId) -> bool {
        let until = study.trial(trial).and_then(|trial| trial.until);
        until.is_none_or(|Resource(until)| {
            until >= self.rung_levels.level(self.rung_levels.top())
                || !self.reader.ended_at(trial, until)
        })
    }
}

/// Returns whether the running trial is the last one that could still complete, in a study in which
/// none has: the budget of trials is spent, and no other trial runs, waits or is paused.
fn last_hope(study: &Study) -> bool {
    // A configuration is started only if the budget covers all its seeds.
    let seeds = u64::from(study.header().replicate.unwrap_or(1));
    let spent = study
        .header()
        .trials
        .is_some_and(|requested| study.counted() + seeds > requested);
    spent
        && study.counts().complete == 0
        && study.counts().paused == 0
        && study.running_count() == 1
        && study.waiting().next().is_none()
}

impl Mode {
    /// Takes the option `mode`. Without it the mode is `promotion` with checkpoints and `stopping`
    /// otherwise. Returns `None`, with a diagnostic, for an unknown mode.
    fn take(
        section: &mut Section,
        setting: &Setting,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let default = if setting.checkpoint {
            Self::Promotion
        } else {
            Self::Stopping
        };
        let Some((word, span)) = section.take_text("mode", diagnostics) else {
            return Some(default);
        };
        match word.as_str() {
            "stopping" => Some(Self::Stopping),
            "restart" => Some(Self::Promotion),
            "promotion" if setting.checkpoint => Some(Self::Promotion),
            "promotion" => {
                let message = "`mode = \"promotion\"` needs trials that can continue from a checkpoint; stopping is used";
                diagnostics.push(
                    Diagnostic::warning("no-checkpoint", message)
                        .at(span, "pauses trials and resumes the best, which would begin at zero again")
                        .hint("if the program resumes from SWATH_CHECKPOINT_DIR when SWATH_RESUME is set, write `checkpoint = true` in `[run]`")
                        .hint("`mode = \"restart\"` lets promoted trials begin at zero again"),
                );
                Some(Self::Stopping)
            }
            other => {
                let modes = ["stopping", "promotion", "restart"];
                let message = format!("`{other}` is not a mode");
                diagnostics.push(
                    Diagnostic::error("unknown-mode", message)
                        .at(span, "must be \"stopping\", \"promotion\" or \"restart\"")
                        .did_you_mean(other, modes),
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
