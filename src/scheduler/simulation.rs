//! A study on a virtual clock: a scheduler meets recorded learning curves.
//!
//! What `swath simulate` and the benchmarks run, and what the property tests run with faults. It
//! goes through the same events, the same fold and the same questions as a real study; only the
//! trials are read from a list.

use super::{Next, TrialScheduler, judgement, weighed};
use crate::space::Params;
use crate::study::{
    Attempt, Datum, Entry, Event, Exit, Header, IllegalEvent, LogRecord, Metric, Origin, Resource,
    Study, Timestamp, TrialId, Usage, Verdict,
};

/// What one configuration reported, in the order it did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curve {
    /// Pairs of resource and objective.
    pub points: Vec<(f64, f64)>,
    /// The further objectives at each point, if there are several.
    pub others: Vec<Vec<f64>>,
    /// How many seconds one unit of the resource takes.
    pub pace: f64,
}

/// What an attempt does besides following its curve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mishap {
    /// It is lost before this point of the attempt, counted from 0.
    pub lost_before: Option<usize>,
    /// It does not end by itself where it was told to.
    pub ignores_until: bool,
}

/// A scheduler, a study and a clock. Trial n follows the nth curve.
pub struct Simulation<'a> {
    /// The study as far as it went.
    pub study: Study,
    /// Every event so far, if they are kept.
    pub entries: Vec<Entry>,
    /// The resource used by all trials.
    pub spent: f64,
    /// The time on the clock, in seconds.
    pub seconds: f64,
    /// Each improvement of the best reported score (smaller is better): the resource spent until
    /// then, the trial, the score.
    pub improvements: Vec<(f64, TrialId, f64)>,
    scheduler: Box<dyn TrialScheduler>,
    curves: &'a [Curve],
    mishap: &'a dyn Fn(TrialId, Attempt) -> Mishap,
    slots: Vec<Option<Runner>>,
    /// Where each trial's checkpoint stands.
    checkpoints: Vec<f64>,
    keeps_entries: bool,
    checkpointing: bool,
}

/// An attempt that runs.
#[derive(Debug, Clone, Copy)]
struct Runner {
    trial: TrialId,
    attempt: Attempt,
    until: Option<Resource>,
    /// The next point of its curve.
    next: usize,
    /// The point it began at.
    first: usize,
    at: f64,
    /// When it gets to its next point, or ends.
    due: f64,
}

impl<'a> Simulation<'a> {
    /// Prepares a study of `header` over the curves with so many slots.
    ///
    /// # Errors
    /// [`IllegalEvent`] if the header is of no use.
    pub fn new(
        header: Header,
        scheduler: Box<dyn TrialScheduler>,
        slots: usize,
        curves: &'a [Curve],
    ) -> Result<Self, IllegalEvent> {
        let mut simulation = Self {
            study: Study::default(),
            entries: Vec::new(),
            spent: 0.0,
            seconds: 0.0,
            improvements: Vec::new(),
            scheduler,
            curves,
            mishap: &|_, _| Mishap::default(),
            slots: vec![None; slots.max(1)],
            checkpoints: Vec::new(),
            keeps_entries: false,
            checkpointing: false,
        };
        simulation.commit(Event::Opened {
            format: crate::study::FORMAT,
            header,
        })?;
        Ok(simulation)
    }

    /// Lets paused and lost trials go on from where they last paused.
    #[must_use]
    pub fn with_checkpoints(mut self, checkpointing: bool) -> Self {
        self.checkpointing = checkpointing;
        self
    }

    /// Lets things go wrong.
    #[must_use]
    pub fn with_mishaps(mut self, mishap: &'a dyn Fn(TrialId, Attempt) -> Mishap) -> Self {
        self.mishap = mishap;
        self
    }

    /// Keeps every entry.
    #[must_use]
    pub fn with_entries(mut self) -> Self {
        self.keeps_entries = true;
        self
    }

    /// Runs until nothing is left to do, or until `enough` says so.
    ///
    /// # Errors
    /// [`IllegalEvent`] if the scheduler asks for something that cannot be, such as resuming a
    /// trial that runs.
    pub fn run(&mut self, enough: impl Fn(&Self) -> bool) -> Result<(), IllegalEvent> {
        self.fill()?;
        while let Some(slot) = self.soonest() {
            if enough(self) {
                break;
            }
            self.step(slot)?;
            self.fill()?;
        }
        Ok(())
    }

    /// Returns whether a new trial may still be created.
    #[must_use]
    pub fn room(&self) -> bool {
        let created = self.study.trials().len();
        let wanted = self.study.header().trials.unwrap_or(u64::MAX);
        created < self.curves.len() && (created as u64) < wanted
    }

    /// Returns the scheduler.
    #[must_use]
    pub fn scheduler(&self) -> &dyn TrialScheduler {
        &*self.scheduler
    }

    fn commit(&mut self, event: Event) -> Result<(), IllegalEvent> {
        let at = Timestamp::from_micros((self.seconds * 1e6) as i64);
        let entry = Entry {
            seq: self.study.next_seq(),
            at,
            event,
            away: None,
        };
        self.study.apply(&entry)?;
        self.scheduler.observe(&self.study, &entry.event);
        if self.keeps_entries || entry.seq == 0 {
            self.entries.push(entry);
        }
        Ok(())
    }

    fn soonest(&self) -> Option<usize> {
        let due = |slot: &usize| self.slots[*slot].map_or(f64::INFINITY, |runner| runner.due);
        (0..self.slots.len())
            .filter(|slot| self.slots[*slot].is_some())
            .min_by(|a, b| due(a).total_cmp(&due(b)))
    }

    /// Gives every free slot something to do.
    fn fill(&mut self) -> Result<(), IllegalEvent> {
        while let Some(slot) = self.slots.iter().position(Option::is_none) {
            let waiting = self.study.waiting().next();
            let trial = match waiting {
                Some(trial) => trial,
                None => match self.ask()? {
                    Some(trial) => trial,
                    None => return Ok(()),
                },
            };
            self.start(slot, trial)?;
        }
        Ok(())
    }

    /// Asks the scheduler for a trial to start.
    fn ask(&mut self) -> Result<Option<TrialId>, IllegalEvent> {
        let room = self.room();
        let id = self.study.next_id();
        match self.scheduler.next(&self.study, room) {
            Next::Fresh | Next::Given { .. } if !room => Err(IllegalEvent::NoSuchTrial(id)),
            Next::Fresh => self
                .create(
                    Params::default(),
                    Origin::Suggested("simulated".to_owned()),
                    0.0,
                )
                .map(Some),
            Next::Given {
                params,
                from,
                instead,
                why,
            } => {
                let at = from.map_or(0.0, |from| self.checkpoint(from));
                let origin =
                    from.map_or(Origin::Added, |from| Origin::Cloned { from, instead, why });
                self.create(params, origin, at).map(Some)
            }
            Next::Resume { trial, why } => {
                self.commit(Event::Judged {
                    trial,
                    verdict: Verdict::Continue,
                    why,
                })?;
                Ok(Some(trial))
            }
            Next::Wait | Next::Done => Ok(None),
        }
    }

    fn create(
        &mut self,
        params: Params,
        origin: Origin,
        checkpoint: f64,
    ) -> Result<TrialId, IllegalEvent> {
        let trial = self.study.next_id();
        self.checkpoints.push(checkpoint);
        self.commit(Event::Created {
            trial,
            params,
            origin,
            seed: 0,
        })?;
        Ok(trial)
    }

    fn checkpoint(&self, trial: TrialId) -> f64 {
        self.checkpoints
            .get(trial.0 as usize - 1)
            .copied()
            .unwrap_or(0.0)
    }

    fn start(&mut self, slot: usize, trial: TrialId) -> Result<(), IllegalEvent> {
        let attempt = Attempt(self.study.trial(trial).map_or(0, |trial| trial.attempts) + 1);
        let until = self.scheduler.until(&self.study, trial);
        let at = self.checkpoint(trial);
        self.commit(Event::Started {
            trial,
            attempt,
            until,
            slot: slot as u32,
            resume: at > 0.0,
        })?;
        let next = self
            .curve(trial)
            .points
            .partition_point(|(point, _)| *point <= at);
        let due = self.due(trial, next, at);
        self.slots[slot] = Some(Runner {
            trial,
            attempt,
            until,
            next,
            first: next,
            at,
            due,
        });
        Ok(())
    }

    fn curve(&self, trial: TrialId) -> &'a Curve {
        &self.curves[trial.0 as usize - 1]
    }

    fn due(&self, trial: TrialId, next: usize, at: f64) -> f64 {
        let curve = self.curve(trial);
        self.seconds
            + curve
                .points
                .get(next)
                .map_or(0.0, |(point, _)| (point - at).max(0.0) * curve.pace)
    }

    /// Lets the attempt in a slot get to its next point.
    fn step(&mut self, slot: usize) -> Result<(), IllegalEvent> {
        let Some(mut runner) = self.slots[slot].take() else {
            return Ok(());
        };
        self.seconds = self.seconds.max(runner.due);
        let mishap = (self.mishap)(runner.trial, runner.attempt);
        if mishap.lost_before == Some(runner.next - runner.first) {
            return self.end(runner, Exit::Lost);
        }
        let Some(&(at, value)) = self.curve(runner.trial).points.get(runner.next) else {
            return self.leave(runner);
        };
        self.spent += (at - runner.at).max(0.0);
        runner.at = at;
        runner.next += 1;
        self.report(runner, value)?;
        let judgement = judgement(&*self.scheduler, &self.study, runner.trial, false);
        if !judgement.why.is_empty() {
            self.commit(Event::Judged {
                trial: runner.trial,
                verdict: judgement.verdict,
                why: judgement.why,
            })?;
        }
        match judgement.verdict {
            Verdict::Stop | Verdict::Complete => self.end(runner, Exit::Stopped),
            Verdict::Pause => self.end(runner, Exit::Paused),
            Verdict::Continue => {
                let told = runner
                    .until
                    .is_some_and(|Resource(until)| runner.at >= until as f64);
                if told && !mishap.ignores_until
                    || runner.next >= self.curve(runner.trial).points.len()
                {
                    return self.leave(runner);
                }
                runner.due = self.due(runner.trial, runner.next, runner.at);
                self.slots[slot] = Some(runner);
                Ok(())
            }
        }
    }

    fn report(&mut self, runner: Runner, value: f64) -> Result<(), IllegalEvent> {
        let header = self.study.header();
        let objective = header.objectives.first().cloned();
        let resource = header.resource.clone();
        let mut values = Vec::new();
        values.extend(resource.map(|name| (name, Datum::Number(Metric(runner.at)))));
        values.extend(
            objective
                .iter()
                .map(|objective| (objective.metric.clone(), Datum::Number(Metric(value)))),
        );
        let at = runner.next.saturating_sub(1);
        let others = self
            .curve(runner.trial)
            .others
            .get(at)
            .into_iter()
            .flatten();
        let further = header.objectives.iter().skip(1).zip(others);
        values.extend(
            further.map(|(objective, value)| {
                (objective.metric.clone(), Datum::Number(Metric(*value)))
            }),
        );
        if let Some(score) = objective.and_then(|objective| objective.score(value)) {
            let best = self
                .improvements
                .last()
                .map_or(f64::INFINITY, |(_, _, best)| *best);
            if score.get() < best {
                self.improvements
                    .push((self.spent, runner.trial, score.get()));
            }
        }
        let report = LogRecord::Report { values };
        let record = weighed(&*self.scheduler, &self.study, runner.trial, report);
        self.commit(Event::Logged {
            trial: runner.trial,
            attempt: runner.attempt,
            record,
        })
    }

    /// The program ends by itself with status 0.
    fn leave(&mut self, runner: Runner) -> Result<(), IllegalEvent> {
        let complete = self.scheduler.finished(&self.study, runner.trial);
        self.end(runner, if complete { Exit::Done } else { Exit::Paused })
    }

    fn end(&mut self, runner: Runner, exit: Exit) -> Result<(), IllegalEvent> {
        if self.checkpointing && exit == Exit::Paused {
            self.checkpoints[runner.trial.0 as usize - 1] = runner.at;
        }
        let (trial, attempt) = (runner.trial, runner.attempt);
        self.commit(Event::Ended {
            trial,
            attempt,
            exit,
            usage: Usage::default(),
        })
    }
}
