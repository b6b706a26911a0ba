//! Runs a sampler and a scheduler against learning curves without the driver: an epoch takes the
//! same time in each slot.

use crate::game::{self, Game};
use crate::tasks::{EPOCHS, Task};
use std::time::Instant;
use swath_model::study::{Attempt, Datum, Event, Exit, LogRecord, Metric, TrialId, Usage, Verdict};
use swath_search::scheduler::{Next, SCHEDULERS, TrialScheduler, judgement};

/// A sampler and a scheduler.
#[derive(Debug)]
pub(crate) struct Entrant {
    pub(crate) name: &'static str,
    sampler: &'static str,
    scheduler: &'static str,
    options: &'static str,
    has_checkpoints: bool,
    restarts: bool,
}

impl Entrant {
    pub(crate) const fn new(
        name: &'static str,
        sampler: &'static str,
        scheduler: &'static str,
        options: &'static str,
        has_checkpoints: bool,
    ) -> Self {
        Self {
            name,
            sampler,
            scheduler,
            options,
            has_checkpoints,
            restarts: false,
        }
    }

    /// Makes resumed trials begin at zero again.
    pub(crate) const fn restarting(self) -> Self {
        Self {
            restarts: true,
            ..self
        }
    }
}

/// The course of one run.
pub(crate) struct Course {
    /// The best loss after each full training.
    pub(crate) losses: Vec<f64>,
    /// Milliseconds of a trial: proposals, learning and scheduling together.
    pub(crate) milliseconds: f64,
}

/// A running trial.
struct Runner {
    trial: TrialId,
    attempt: Attempt,
    curve: Vec<f64>,
    until: Option<u64>,
    epoch: usize,
}

/// A game with a scheduler, in which each trial trains epoch by epoch.
struct Race<'a> {
    task: &'a Task,
    game: Game,
    scheduler: Box<dyn TrialScheduler>,
    has_checkpoints: bool,
    /// The epoch at which each trial rests.
    rests: Vec<usize>,
    slots: Vec<Option<Runner>>,
    /// Seconds that the sampler and the scheduler have taken.
    seconds: f64,
}

/// Number of random configurations that tell the range of a task.
const RANGE_SAMPLE: u32 = 10_000;

/// Returns the lowest loss of many random configurations, from which the regret counts, and the
/// median regret of them: the scale of the task.
pub(crate) fn scale(task: &Task, seed: u64) -> (f64, f64) {
    let points = swath_numerics::sobol::Sobol::new(task.space.dims(), 7);
    let mut losses: Vec<f64> = (0..RANGE_SAMPLE)
        .map(|at| {
            let curve = (task.curve)(&task.space.decode(&points.point(at)), seed);
            curve.into_iter().fold(f64::INFINITY, f64::min)
        })
        .collect();
    losses.sort_by(f64::total_cmp);
    let lowest = losses[0] - 1e-3;
    (lowest, losses[losses.len() / 2] - lowest)
}

/// Runs an entrant on a task until it has spent so many full trainings.
pub(crate) fn run(entrant: &Entrant, task: &Task, seed: u64, most: usize, slots: usize) -> Course {
    let mut race = Race::new(entrant, task, seed, slots);
    let (mut spent, mut best) = (0, f64::INFINITY);
    let mut losses = Vec::new();
    while losses.len() < most {
        race.fill();
        let used = race.slots.iter().flatten().count();
        assert!(used > 0, "{} has nothing left to do", entrant.name);
        best = best.min(race.step());
        spent += used;
        while losses.len() < most && spent >= (losses.len() + 1) * EPOCHS {
            losses.push(best);
        }
    }
    Course {
        losses,
        milliseconds: race.seconds * 1e3 / race.game.study.trials().len() as f64,
    }
}

impl<'a> Race<'a> {
    fn new(entrant: &Entrant, task: &'a Task, seed: u64, slots: usize) -> Self {
        let mut setting = game::setting(task.space.clone(), &["loss".to_owned()], seed);
        setting.slots = slots;
        setting.resource = Some("epoch".into());
        setting.checkpoint = entrant.has_checkpoints;
        let (name, options) = (entrant.scheduler, entrant.options);
        Self {
            task,
            scheduler: game::make(SCHEDULERS, name, options, &setting).unwrap(),
            game: Game::open(entrant.sampler, "", setting, Vec::new()).unwrap(),
            has_checkpoints: entrant.has_checkpoints && !entrant.restarts,
            rests: Vec::new(),
            slots: (0..slots).map(|_| None).collect(),
            seconds: 0.0,
        }
    }

    fn commit(&mut self, event: Event) {
        let began = Instant::now();
        self.game.commit(event);
        if let Some(entry) = self.game.entries.last() {
            self.scheduler.observe(&self.game.study, &entry.event);
        }
        self.seconds += began.elapsed().as_secs_f64();
    }

    fn fill(&mut self) {
        while let Some(slot) = self.slots.iter().position(Option::is_none) {
            let trial = match self.scheduler.next(&self.game.study, true) {
                Next::Fresh => self.create(),
                Next::Resume { trial, why } => {
                    self.commit(Event::Judged {
                        trial,
                        verdict: Verdict::Continue,
                        why,
                    });
                    trial
                }
                Next::Given { .. } | Next::Wait | Next::Done => return,
            };
            self.start(slot, trial);
        }
    }

    fn create(&mut self) -> TrialId {
        let began = Instant::now();
        let params = self.game.ask().unwrap();
        self.seconds += began.elapsed().as_secs_f64();
        self.rests.push(0);
        let trial = self.game.create(params);
        if let Some(entry) = self.game.entries.last() {
            self.scheduler.observe(&self.game.study, &entry.event);
        }
        trial
    }

    fn start(&mut self, slot: usize, trial: TrialId) {
        let until = self.scheduler.until(&self.game.study, trial);
        let state = self.game.study.trial(trial).unwrap();
        let attempt = Attempt(state.attempts + 1);
        let curve = (self.task.curve)(&state.params, self.game.setting.seed);
        let epoch = self.rests[trial.0 as usize - 1];
        self.commit(Event::Started {
            trial,
            attempt,
            until,
            slot: slot as u32,
            resume: epoch > 0,
        });
        let until = until.map(|until| until.0);
        self.slots[slot] = Some(Runner {
            trial,
            attempt,
            curve,
            until,
            epoch,
        });
    }

    /// Trains each running trial for an epoch, and returns the lowest loss that was reported.
    fn step(&mut self) -> f64 {
        let mut lowest = f64::INFINITY;
        for slot in 0..self.slots.len() {
            let Some(mut runner) = self.slots[slot].take() else {
                continue;
            };
            let loss = runner.curve[runner.epoch];
            lowest = lowest.min(loss);
            runner.epoch += 1;
            let (trial, attempt) = (runner.trial, runner.attempt);
            let values = vec![
                ("epoch".into(), Datum::Number(Metric(runner.epoch as f64))),
                ("loss".into(), Datum::Number(Metric(loss))),
            ];
            let record = LogRecord::Report { values };
            self.commit(Event::Logged {
                trial,
                attempt,
                record,
                line_end: None,
            });
            let judgement = judgement(&*self.scheduler, None, &self.game.study, trial, false);
            if !judgement.why.is_empty() {
                let verdict = judgement.verdict;
                self.commit(Event::Judged {
                    trial,
                    verdict,
                    why: judgement.why,
                });
            }
            let has_ended = runner.epoch == EPOCHS
                || runner
                    .until
                    .is_some_and(|until| runner.epoch as u64 >= until);
            let exit = match judgement.verdict {
                Verdict::Stop | Verdict::Complete => Exit::Stopped,
                Verdict::Pause => Exit::Paused,
                Verdict::Continue if !has_ended => {
                    self.slots[slot] = Some(runner);
                    continue;
                }
                Verdict::Continue if self.scheduler.finished(&self.game.study, trial) => Exit::Done,
                Verdict::Continue => Exit::Paused,
            };
            if self.has_checkpoints && exit == Exit::Paused {
                self.rests[trial.0 as usize - 1] = runner.epoch;
            }
            self.commit(Event::Ended {
                trial,
                attempt,
                exit,
                usage: Usage::default(),
            });
        }
        lowest
    }
}
