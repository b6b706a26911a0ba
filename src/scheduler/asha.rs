//! Asynchronous successive halving: at each rung the best 1/η go on, decided the moment a trial
//! arrives, without waiting for others.
//!
//! Li et al., *A System for Massively Parallel Hyperparameter Tuning*, MLSys 2020 (arXiv
//! 1810.05934). Two modes. *Stopping*: a trial ends at a rung unless it is among the best 1/η seen
//! there so far; needs no checkpoints. *Promotion*: every trial pauses at its rung, and the best
//! 1/η of a rung are resumed as results come in. Two things differ from the paper and from peers: a
//! rung never lets more than its share climb in promotion mode, and the first arrivals of a rung,
//! who have hardly anyone to beat there, must at least be no worse than the median of the rung
//! below.
//!
//! Several objectives are ranked together, by non-dominated fronts. A trial that no other at its
//! rung dominates is never stopped, so the first arrivals of a rung are compared with no median;
//! one that is paused is promoted at the latest when no more trials can come.

use super::gauge::{self, Gauge, Reading};
use super::ladder::{self, Ladder};
use super::ranking::{Ranking, Rung};
use super::{Judgement, Next, TrialScheduler};
use crate::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use crate::study::kind::Capability;
use crate::study::{Event, Kind, Resource, Setting, Study, TrialId, TrialState, Verdict};
use std::collections::BTreeSet;

pub(super) const KIND: Kind<dyn TrialScheduler> = Kind {
    name: "asha",
    about: "asynchronous successive halving: the best 1/reduction of each rung go on",
    paper: Some(
        "Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020 (arXiv 1810.05934)",
    ),
    options: &[
        ladder::MIN,
        ladder::MAX,
        ladder::REDUCTION,
        MODE,
        gauge::METRIC,
    ],
    capabilities: &[Capability::Rungs],
    build: |mut section, setting, diagnostics| {
        let asha = Asha::take(&mut section, setting, diagnostics);
        Some(Box::new(asha?))
    },
};

/// What a rung does to the trials that are not among its best.
pub(super) const MODE: Opt = Opt::new(
    "mode",
    Takes::OneOf(&["stopping", "promotion"]),
    Preset::Derived("`promotion` with `[run] checkpoint = true`, else `stopping`"),
    "whether a rung stops the trials that are not among its best, or pauses every trial and \
     resumes the best; `promotion` needs checkpoints",
);

/// What happens at a rung to those who are not among its best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They are stopped for good.
    Stopping,
    /// Everyone pauses; the best are resumed.
    Promotion,
}

/// Trials on a ladder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asha {
    gauge: Gauge,
    ladder: Ladder,
    mode: Mode,
    rungs: Vec<Rung>,
    climbers: Vec<Climber>,
    /// Paused below the rung they may go to: promoted and cut short, or paused under an earlier
    /// sweep file.
    loose: BTreeSet<TrialId>,
}

/// Where a trial is on the ladder.
#[derive(Debug, Clone, Default, PartialEq)]
struct Climber {
    /// The rung it may go to; it is judged when it gets there. The lowest it is seen at is the one
    /// it began with.
    target: usize,
    /// The highest rung it was ever seen at.
    seen: Option<usize>,
    /// Its scores there.
    scores: Vec<f64>,
    /// The highest rung in its present life: a rerun without checkpoint climbs again, without being
    /// judged again.
    crossed: Option<usize>,
    /// What was decided and not yet carried out.
    standing: Option<Judgement>,
    /// It has been told to end and has not ended yet.
    ending: bool,
    /// It has been stopped: what it still says on its way out is a matter of how long that takes,
    /// and is compared with nobody.
    stopped: bool,
    rest: Rest,
}

/// Whether a trial rests on the ladder, and may climb on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Rest {
    /// It runs, waits, or is over.
    #[default]
    No,
    /// It is paused.
    Paused,
    /// The scheduler stopped it; only a person can make it go on.
    Stopped,
}

impl Asha {
    /// Takes the options of a ladder from a section.
    pub(super) fn take(
        section: &mut Section,
        setting: &Setting,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let ladder = Ladder::take(section, diagnostics);
        let mode = Mode::take(section, setting, diagnostics);
        let gauge = Gauge::take(section, setting, diagnostics);
        Some(Self::new(gauge?, ladder?, mode?))
    }

    fn new(gauge: Gauge, ladder: Ladder, mode: Mode) -> Self {
        let rungs = vec![Rung::of(gauge.objectives()); ladder.top() + 1];
        Self {
            gauge,
            ladder,
            mode,
            rungs,
            climbers: Vec::new(),
            loose: BTreeSet::new(),
        }
    }

    /// Returns the ladder.
    pub(super) fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// Lets a new trial begin at a higher rung: it is not compared below.
    pub(super) fn begin(&mut self, trial: TrialId, rung: usize) {
        if let Some(climber) = self.climber_mut(trial) {
            climber.target = rung;
        }
    }

    fn climber(&self, trial: TrialId) -> Option<&Climber> {
        self.climbers.get((trial.0 as usize).checked_sub(1)?)
    }

    fn climber_mut(&mut self, trial: TrialId) -> Option<&mut Climber> {
        self.climbers.get_mut((trial.0 as usize).checked_sub(1)?)
    }

    /// Takes note of a result and decides, if the trial has come to the rung it was allowed to go
    /// to.
    fn arrive(&mut self, study: &Study, reading: Reading) {
        let Reading {
            trial,
            at,
            ref scores,
        } = reading;
        let (Some(rung), Some(climber)) = (self.ladder.reached(at), self.climber(trial)) else {
            return;
        };
        let free = rung < climber.target || rung == self.ladder.top();
        let decided = climber.ending || climber.standing.is_some();
        let stands = |judgement: &Judgement| judgement.verdict == Verdict::Stop;
        if climber.stopped || climber.standing.as_ref().is_some_and(stands) {
            return;
        }
        if climber.crossed.is_none_or(|crossed| rung > crossed) {
            self.record(study, rung, trial, scores);
        }
        if free || decided {
            return;
        }
        if let Some(climber) = self.climber_mut(trial) {
            climber.target = rung;
        }
        let judgement = match self.mode {
            Mode::Stopping => self.judge(study, rung, trial, scores),
            Mode::Promotion => self.pause(rung, trial, scores),
        };
        if judgement.verdict == Verdict::Continue {
            self.climb(trial, rung);
        }
        if let Some(climber) = self.climber_mut(trial) {
            climber.standing = Some(judgement);
        }
    }

    fn record(&mut self, study: &Study, rung: usize, trial: TrialId, scores: &[f64]) {
        let Some(climber) = self.climber_mut(trial) else {
            return;
        };
        climber.crossed = Some(rung);
        let again = climber.seen.is_some_and(|seen| rung <= seen);
        if !again {
            (climber.seen, climber.scores) = (Some(rung), scores.to_vec());
        } else {
            self.rungs[rung].results.remove(trial);
        }
        if study.trial(trial).is_some_and(|trial| !trial.outside) {
            self.rungs[rung].results.add(scores, trial);
        }
    }

    /// Lets a trial climb on from a rung.
    fn climb(&mut self, trial: TrialId, rung: usize) {
        self.rungs[rung].climbed += 1;
        if let Some(climber) = self.climber_mut(trial) {
            climber.target = rung + 1;
        }
    }

    /// Stopping mode: is it among the best 1/η here?
    fn judge(&self, study: &Study, at: usize, trial: TrialId, scores: &[f64]) -> Judgement {
        let results = &self.rungs[at].results;
        let rank = format!(
            "rank {} of {}",
            results.place(scores, trial) + 1,
            results.len()
        );
        let here = self.gauge.words(self.ladder.level(at) as f64, scores);
        let is_finite = scores.iter().all(|score| score.is_finite());
        let (passes, bar) = match self.gauge.objectives() {
            1 => self.passes(at, trial, scores),
            _ => self.passes_by_front(at, trial, scores),
        };
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

    /// Returns how many trials of a rung go on.
    fn share(&self, at: usize) -> usize {
        self.rungs[at].results.len() / self.ladder.reduction as usize
    }

    /// Returns whether a trial goes on by several objectives, and in words what was needed. One
    /// that no other at the rung dominates always does.
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

    /// Returns whether a trial goes on by its only score, and in words what was needed.
    fn passes(&self, at: usize, trial: TrialId, scores: &[f64]) -> (bool, String) {
        let score = scores.first().copied().unwrap_or(f64::INFINITY);
        let results = &self.rungs[at].results;
        let share = self.share(at).max(1);
        let mut needed = results.score(share - 1).filter(|needed| needed.is_finite());
        let mut from = String::new();
        if share == 1 && results.len() < self.ladder.reduction as usize {
            let below = (0..at)
                .rev()
                .find_map(|below| Some((below, self.median(below, trial)?)));
            if let Some((below, median)) =
                below.filter(|(_, median)| needed.is_none_or(|needed| *median < needed))
            {
                needed = Some(median);
                from = format!(
                    " (the median at {})",
                    self.gauge.place(self.ladder.level(below))
                );
            }
        }
        let passes = score.is_finite() && needed.is_none_or(|needed| score <= needed);
        let bar = needed.map(|needed| format!(", {}{from}", self.gauge.needed(needed)));
        (passes, bar.unwrap_or_default())
    }

    /// Returns the median of a rung's results without this trial's, if there are enough to mean
    /// something.
    fn median(&self, rung: usize, without: TrialId) -> Option<f64> {
        let Ranking::One(results) = &self.rungs[rung].results else {
            return None;
        };
        let finite = results.iter().take_while(|(score, _)| score.is_finite());
        let others: Vec<f64> = finite
            .filter(|(_, trial)| *trial != without)
            .map(|(score, _)| *score)
            .collect();
        (others.len() >= self.ladder.reduction as usize).then(|| others[others.len() / 2])
    }

    /// Promotion mode: it pauses, unless it is the very one that would be resumed next.
    fn pause(&self, at: usize, trial: TrialId, scores: &[f64]) -> Judgement {
        let results = &self.rungs[at].results;
        let here = self.gauge.words(self.ladder.level(at) as f64, scores);
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

    /// Returns who is to climb from a rung: the best that rests there, if it is among the best 1/η
    /// and the rung's share is not used up.
    fn candidate(&self, at: usize, arriving: Option<TrialId>) -> Option<TrialId> {
        let share = self.share(at);
        if self.rungs[at].climbed >= share {
            return None;
        }
        let rests = |trial: &TrialId| self.rests_at(*trial, at) || arriving == Some(*trial);
        self.rungs[at].results.best(share).find(rests)
    }

    fn rests_at(&self, trial: TrialId, rung: usize) -> bool {
        self.climber(trial).is_some_and(|climber| {
            climber.rest == Rest::Paused && climber.target == rung && climber.seen == Some(rung)
        })
    }

    /// When no more trials can come and nobody has got to the top: the best of the highest rung, so
    /// that the study has a result.
    fn last(&self, study: &Study) -> Option<(usize, TrialId)> {
        if study.counts().complete > 0 || self.rungs[self.ladder.top()].results.has_finite() {
            return None;
        }
        (0..self.ladder.top()).rev().find_map(|rung| {
            let best = self.rungs[rung].results.best(usize::MAX);
            let mut resting = best.filter(|trial| self.rests_at(*trial, rung));
            resting.next().map(|trial| (rung, trial))
        })
    }

    /// When no more trials can come: one of several objectives that rests although no other at its
    /// rung dominates it. It goes on, whatever the rung's share.
    fn undominated(&self) -> Option<(usize, TrialId)> {
        (0..self.ladder.top()).rev().find_map(|rung| {
            let undominated = self.rungs[rung].results.undominated();
            let resting = undominated
                .into_iter()
                .find(|trial| self.rests_at(*trial, rung));
            resting.map(|trial| (rung, trial))
        })
    }

    fn promote(&self, rung: usize, trial: TrialId, because: &str) -> Next {
        let scores = self
            .climber(trial)
            .map_or(&[][..], |climber| &*climber.scores);
        let results = &self.rungs[rung].results;
        let here = self.gauge.words(self.ladder.level(rung) as f64, scores);
        let why = format!(
            "{here}, rank {} of {}{because}, goes on to {}",
            results.place(scores, trial) + 1,
            results.len(),
            self.gauge.place(self.ladder.level(rung + 1))
        );
        Next::Resume { trial, why }
    }

    /// A trial that rested begins to move again.
    fn leave(&mut self, trial: TrialId) {
        self.loose.remove(&trial);
        let Some(climber) = self.climber_mut(trial) else {
            return;
        };
        let rested = std::mem::take(&mut climber.rest) != Rest::No;
        if let Some(seen) = climber.seen
            && rested
            && seen == climber.target
            && seen < self.ladder.top()
        {
            self.climb(trial, seen);
        }
    }

    fn end(&mut self, study: &Study, trial: TrialId) {
        let Some(climber) = self.climber_mut(trial) else {
            return;
        };
        climber.rest = match study.trial(trial).map(|trial| &trial.state) {
            Some(TrialState::Paused) => Rest::Paused,
            Some(TrialState::Stopped) => Rest::Stopped,
            _ => Rest::No,
        };
        let below = climber.seen.is_none_or(|seen| seen < climber.target);
        if climber.rest == Rest::Paused && below {
            self.loose.insert(trial);
        }
    }
}

impl TrialScheduler for Asha {
    fn observe(&mut self, study: &Study, event: &Event) {
        if let Some(reading) = self.gauge.observe(study, event) {
            self.arrive(study, reading);
        }
        match event {
            Event::Edited { .. } | Event::Removed { .. } | Event::Restored { .. } => {
                self.rungs.iter_mut().for_each(|rung| rung.refit(study));
            }
            Event::Created { .. } => self.climbers.push(Climber::default()),
            Event::Started { trial, resume, .. } => {
                self.leave(*trial);
                if let Some(climber) = self.climber_mut(*trial) {
                    climber.standing = None;
                    climber.ending = false;
                    climber.stopped = false;
                    climber.crossed = climber.crossed.filter(|_| *resume);
                }
            }
            Event::Requeued { trial, .. } => self.leave(*trial),
            Event::Judged { trial, verdict, .. } => {
                let resting = study
                    .trial(*trial)
                    .is_some_and(|trial| trial.state.is_final());
                if let Some(climber) = self.climber_mut(*trial) {
                    climber.standing = None;
                    climber.ending |= *verdict != Verdict::Continue;
                    climber.stopped |= *verdict == Verdict::Stop;
                    if resting {
                        climber.rest = Rest::Stopped;
                        self.loose.remove(trial);
                    }
                }
            }
            Event::Ended { trial, .. } => self.end(study, *trial),
            _ => {}
        }
    }

    fn next(&self, study: &Study, room: bool) -> Next {
        let fits = |trial: TrialId| study.trial(trial).is_some_and(|trial| !trial.outside);
        if let Some(trial) = self.loose.iter().find(|trial| fits(**trial)) {
            let target = self.climber(*trial).map_or(0, |climber| climber.target);
            let why = format!("goes on to {}", self.gauge.place(self.ladder.level(target)));
            return Next::Resume { trial: *trial, why };
        }
        let promoted = (0..self.ladder.top())
            .rev()
            .find_map(|rung| Some((rung, self.candidate(rung, None)?)));
        if let Some((rung, trial)) = promoted {
            return self.promote(rung, trial, "");
        }
        if room {
            return Next::Fresh;
        }
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
        let standing = self
            .climber(trial)
            .and_then(|climber| climber.standing.clone());
        standing.unwrap_or(Judgement {
            verdict: Verdict::Continue,
            why: String::new(),
        })
    }

    fn until(&self, _: &Study, trial: TrialId) -> Option<Resource> {
        if self.mode == Mode::Stopping {
            return Some(Resource(self.ladder.level(self.ladder.top())));
        }
        let climber = self.climber(trial)?;
        let promoted = climber.rest != Rest::No && climber.seen == Some(climber.target);
        Some(Resource(
            self.ladder.level(climber.target + usize::from(promoted)),
        ))
    }

    fn max(&self) -> Option<Resource> {
        Some(Resource(self.ladder.level(self.ladder.top())))
    }

    fn finished(&self, study: &Study, trial: TrialId) -> bool {
        let until = study.trial(trial).and_then(|trial| trial.until);
        until.is_none_or(|Resource(until)| {
            until >= self.ladder.level(self.ladder.top()) || !self.gauge.ended_at(trial, until)
        })
    }
}

/// Returns whether a running trial is the only one left that could still complete, in a study where
/// none has.
fn last_hope(study: &Study) -> bool {
    // Fewer trials than a configuration has seeds are never begun.
    let seeds = u64::from(study.header().replicate.unwrap_or(1));
    let spent = study
        .header()
        .trials
        .is_some_and(|wanted| study.counted() + seeds > wanted);
    spent
        && study.counts().complete == 0
        && study.counts().paused == 0
        && study.running_count() == 1
        && study.waiting().next().is_none()
}

impl Mode {
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
            "promotion" if setting.checkpoint => Some(Self::Promotion),
            "promotion" => {
                let message = "`mode = \"promotion\"` needs trials that can go on from a checkpoint; stopping is used";
                diagnostics.push(
                    Diagnostic::warning("no-checkpoint", message)
                        .at(span, "pauses trials and resumes the best, which would begin at zero again")
                        .hint("if the program resumes from SWATH_CHECKPOINT_DIR when SWATH_RESUME is set, write `checkpoint = true` in `[run]`"),
                );
                Some(Self::Stopping)
            }
            other => {
                let known = ["stopping", "promotion"];
                let message = format!("`{other}` is not a mode");
                diagnostics.push(
                    Diagnostic::error("unknown-mode", message)
                        .at(span, "must be \"stopping\" or \"promotion\"")
                        .did_you_mean(other, known),
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
