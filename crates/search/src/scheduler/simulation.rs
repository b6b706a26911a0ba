//! A study on a virtual clock: a scheduler is run against recorded learning curves.
//!
//! `swath simulate` and the benchmarks use it, and the property tests use it with faults. It goes
//! through the same events, the same fold and the same scheduler queries as a real study. Only the
//! trials are replaced by a list of curves.

use super::{Next, TrialScheduler, judgement, mark_beyond_max};
use swath_model::space::Params;
use swath_model::study::{
    Attempt, Datum, Entry, Event, Exit, Header, IllegalEvent, LogRecord, Metric, Origin, Resource,
    Study, Timestamp, TrialId, Usage, Verdict,
};

/// The reports of one configuration, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curve {
    /// The configuration; empty if it is not known.
    pub params: Params,
    /// Pairs of resource and first objective, ascending by resource.
    pub points: Vec<(f64, f64)>,
    /// The other objectives at each point, if there are several.
    pub others: Vec<Vec<f64>>,
    /// Seconds per unit of the resource.
    pub pace: f64,
}

/// The faults of an attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mishap {
    /// The attempt is lost before this point of it, counted from 0; `None` if it is not lost.
    pub lost_before: Option<usize>,
    /// Whether the program ignores the resource at which its attempt is to end.
    pub ignores_until: bool,
}

/// A scheduler, a study and a virtual clock. Trial n follows the nth curve.
pub struct Simulation<'a> {
    /// The state of the study.
    pub study: Study,
    /// All entries so far with [`with_entries`](Self::with_entries), otherwise the first one only.
    pub entries: Vec<Entry>,
    /// The resource used by all trials together.
    pub spent: f64,
    /// The time on the virtual clock, in seconds.
    pub seconds: f64,
    /// Each improvement of the best reported score (smaller is better): the resource spent until
    /// then, the trial, and the score.
    pub improvements: Vec<(f64, TrialId, f64)>,
    /// The scheduler under test.
    scheduler: Box<dyn TrialScheduler>,
    /// The curves, one per trial.
    curves: &'a [Curve],
    /// Returns the faults of an attempt.
    mishap: &'a dyn Fn(TrialId, Attempt) -> Mishap,
    /// The running attempt in each slot.
    slots: Vec<Option<Runner>>,
    /// The resource at which each trial's checkpoint was saved; 0 without one.
    checkpoints: Vec<f64>,
    /// Whether `entries` keeps every entry.
    keeps_entries: bool,
    /// Whether trials continue from a checkpoint.
    checkpointing: bool,
}

/// A running attempt.
#[derive(Debug, Clone, Copy)]
struct Runner {
    trial: TrialId,
    attempt: Attempt,
    until: Option<Resource>,
    /// The index of the next point of the curve.
    next: usize,
    /// The index of the first point of this attempt.
    first: usize,
    /// The resource used so far.
    at: f64,
    /// The time of its next report or of its exit, in seconds.
    due: f64,
}

impl<'a> Simulation<'a> {
    /// Creates a study of `header` over the curves, with `slots` slots (at least one).
    ///
    /// # Errors
    /// Returns an [`IllegalEvent`] if the header is invalid.
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
            format: swath_model::study::FORMAT,
            header,
        })?;
        Ok(simulation)
    }

    /// Sets whether paused and lost trials continue from where they last paused. Default: they
    /// start from zero.
    #[must_use]
    pub fn with_checkpoints(mut self, checkpointing: bool) -> Self {
        self.checkpointing = checkpointing;
        self
    }

    /// Sets the faults of each attempt. Default: none.
    #[must_use]
    pub fn with_mishaps(mut self, mishap: &'a dyn Fn(TrialId, Attempt) -> Mishap) -> Self {
        self.mishap = mishap;
        self
    }

    /// Keeps every entry in `entries`.
    #[must_use]
    pub fn with_entries(mut self) -> Self {
        self.keeps_entries = true;
        self
    }

    /// Runs until no attempt is running any more, or until `is_done` returns `true`.
    ///
    /// # Errors
    /// Returns an [`IllegalEvent`] if the scheduler asks for an impossible action, such as the
    /// resumption of a running trial.
    pub fn run(&mut self, is_done: impl Fn(&Self) -> bool) -> Result<(), IllegalEvent> {
        self.fill_slots()?;
        while let Some(slot) = self.next_slot() {
            if is_done(self) {
                break;
            }
            self.step(slot)?;
            self.fill_slots()?;
        }
        Ok(())
    }

    /// Returns whether a new trial may still be created: neither the curves nor the budget of
    /// trials is used up.
    #[must_use]
    pub fn room(&self) -> bool {
        let created = self.study.trials().len();
        let budget = self.study.header().trials.unwrap_or(u64::MAX);
        created < self.curves.len() && (created as u64) < budget
    }

    /// Returns the scheduler.
    #[must_use]
    pub fn scheduler(&self) -> &dyn TrialScheduler {
        &*self.scheduler
    }

    /// Applies an event to the study and the scheduler, as the driver does.
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

    /// Returns the slot whose attempt acts next; `None` if no attempt runs.
    fn next_slot(&self) -> Option<usize> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, attempt)| Some((slot, attempt.as_ref()?.due)))
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map(|(slot, _)| slot)
    }

    /// Starts a trial in every free slot, until the scheduler has none.
    fn fill_slots(&mut self) -> Result<(), IllegalEvent> {
        while let Some(slot) = self.slots.iter().position(Option::is_none) {
            // The scheduler is asked only when no trial waits, as in a real study.
            let waiting = self.study.waiting().next();
            let trial = match waiting {
                Some(trial) => trial,
                None => match self.ask_scheduler()? {
                    Some(trial) => trial,
                    None => return Ok(()),
                },
            };
            self.start(slot, trial)?;
        }
        Ok(())
    }

    /// Asks the scheduler for a trial to start, and creates it if it is new. Returns `None` if the
    /// slot stays free.
    fn ask_scheduler(&mut self) -> Result<Option<TrialId>, IllegalEvent> {
        let room = self.room();
        let id = self.study.next_id();
        match self.scheduler.next(&self.study, room) {
            // The contract of `TrialScheduler::next` forbids this answer.
            Next::Fresh | Next::Given { .. } if !room => Err(IllegalEvent::NoSuchTrial(id)),
            Next::Fresh => {
                let curve = self.curves.get((id.0 as usize).saturating_sub(1));
                let params = curve.map(|curve| curve.params.clone());
                let origin = Origin::Suggested("simulated".to_owned());
                self.create(params.unwrap_or_default(), origin, 0.0)
                    .map(Some)
            }
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

    /// Creates a trial with a checkpoint at resource `checkpoint`.
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

    /// Returns the resource of a trial's checkpoint.
    fn checkpoint(&self, trial: TrialId) -> f64 {
        self.checkpoints
            .get(trial.0 as usize - 1)
            .copied()
            .unwrap_or(0.0)
    }

    /// Starts the next attempt of a trial in a slot.
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

    /// Returns the curve of a trial.
    fn curve(&self, trial: TrialId) -> &'a Curve {
        &self.curves[trial.0 as usize - 1]
    }

    /// Returns the time at which a trial at resource `at` reaches its point `next`; now if there is
    /// none.
    fn due(&self, trial: TrialId, next: usize, at: f64) -> f64 {
        let curve = self.curve(trial);
        self.seconds
            + curve
                .points
                .get(next)
                .map_or(0.0, |(point, _)| (point - at).max(0.0) * curve.pace)
    }

    /// Moves the clock to the next point of the attempt in a slot, and carries out the verdict on
    /// its report.
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
            return self.exit_by_itself(runner);
        };
        self.spent += (at - runner.at).max(0.0);
        runner.at = at;
        runner.next += 1;
        self.report(runner, value)?;
        let judgement = judgement(&*self.scheduler, None, &self.study, runner.trial, false);
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
                let has_reached_until = runner
                    .until
                    .is_some_and(|Resource(until)| runner.at >= until as f64);
                if has_reached_until && !mishap.ignores_until
                    || runner.next >= self.curve(runner.trial).points.len()
                {
                    return self.exit_by_itself(runner);
                }
                runner.due = self.due(runner.trial, runner.next, runner.at);
                self.slots[slot] = Some(runner);
                Ok(())
            }
        }
    }

    /// Commits the report of the point just reached.
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
        let point = runner.next.saturating_sub(1);
        let others = self
            .curve(runner.trial)
            .others
            .get(point)
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
        let record = mark_beyond_max(&*self.scheduler, None, &self.study, runner.trial, report);
        self.commit(Event::Logged {
            trial: runner.trial,
            attempt: runner.attempt,
            record,
            line_end: None,
        })
    }

    /// Ends an attempt whose program exited by itself with status 0.
    fn exit_by_itself(&mut self, runner: Runner) -> Result<(), IllegalEvent> {
        let complete = self.scheduler.finished(&self.study, runner.trial);
        self.end(runner, if complete { Exit::Done } else { Exit::Paused })
    }

    /// Commits the exit of an attempt. A pause saves a checkpoint, if there are any.
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
