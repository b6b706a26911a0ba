//! Plays a sampler against a task without the driver: no processes, no journal.

#[path = "../game.rs"]
mod game;
#[path = "../trials.rs"]
mod trials;

use super::fronts::{Front, Point};
use super::tasks::{Task, Trial};
use game::Game;
use rand::RngExt;
use std::collections::VecDeque;
use std::time::Instant;
use swath_model::study::{Exit, Failure, Limit, TrialId};
use swath_numerics::stream::{Purpose, stream};

/// The size of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) trials: usize,
    /// Number of trials that are open at the same time.
    pub(crate) slots: usize,
}

/// The course of one run.
pub(crate) struct Course {
    /// The regret of the recommended trial after each trial that has ended.
    pub(crate) regrets: Vec<f64>,
    /// Milliseconds of a trial, proposal and learning together.
    pub(crate) milliseconds: f64,
}

/// A task with one objective or several.
#[derive(Clone, Copy)]
pub(crate) enum Problem<'a> {
    Single(&'a Task),
    Front(&'a Front),
}

impl<'a> Problem<'a> {
    pub(crate) fn task(self) -> &'a Task {
        match self {
            Self::Single(task) => task,
            Self::Front(front) => &front.task,
        }
    }

    fn objective_count(self) -> usize {
        match self {
            Self::Single(_) => 1,
            Self::Front(front) => front.reference.len(),
        }
    }

    /// Returns the reported values of a trial, those of the objectives first.
    fn values(self, trial: &Trial) -> Vec<f64> {
        let mut values = match self {
            Self::Single(_) => vec![trial.loss],
            Self::Front(_) => trial.reported[..self.objective_count()].to_vec(),
        };
        values.push(trial.cost);
        values
    }
}

/// Runs the sampler `name` on the instance `seed` of a task. Trials end in the order of their
/// start.
pub(crate) fn play(name: &str, problem: Problem<'_>, seed: u64, size: Size) -> Course {
    let mut game = open(name, problem, seed, size);
    let instance = (problem.task().instance)(seed);
    let mut open: VecDeque<(TrialId, Trial)> = VecDeque::new();
    let mut regrets = Vec::new();
    let mut best = BestResult::default();
    let mut front = match problem {
        Problem::Single(_) => None,
        Problem::Front(front) => Some((front.regret(seed), Vec::new())),
    };
    let mut seconds = 0.0;
    for at in 0..size.trials {
        let began = Instant::now();
        let params = game.ask();
        seconds += began.elapsed().as_secs_f64();
        let Some(params) = params else { break };
        let trial = instance(&params, &mut stream(seed, Purpose::Simulate, at as u64));
        open.push_back((game.start(params), trial));
        let last = at + 1 == size.trials;
        while open.len() >= size.slots || (last && !open.is_empty()) {
            let Some((id, trial)) = open.pop_front() else {
                break;
            };
            let began = Instant::now();
            if trial.fails {
                game.end(id, Exit::Failed(Failure::Code(1)));
            } else {
                game.tell(id, &problem.values(&trial));
            }
            seconds += began.elapsed().as_secs_f64();
            regrets.push(match &mut front {
                None => {
                    best.update(trial);
                    best.regret
                }
                Some((regret, results)) => {
                    results.extend(admissible(trial));
                    regret(results)
                }
            });
        }
    }
    Course {
        regrets,
        milliseconds: seconds * 1e3 / size.trials as f64,
    }
}

/// Returns the reported and the true values of a trial that reported any and satisfied the limit.
fn admissible(trial: Trial) -> Option<(Point, Point)> {
    (!trial.fails && trial.cost <= 0.0).then_some((trial.reported, trial.point))
}

/// The trial with the best result, by reported values: the least excess over the limit, then the
/// least loss.
#[derive(Debug, Clone, Copy)]
struct BestResult {
    excess: f64,
    loss: f64,
    regret: f64,
}

impl Default for BestResult {
    fn default() -> Self {
        Self {
            excess: f64::INFINITY,
            loss: f64::INFINITY,
            regret: f64::INFINITY,
        }
    }
}

impl BestResult {
    fn update(&mut self, trial: Trial) {
        let excess = trial.cost.max(0.0);
        if !trial.fails && (excess, trial.loss) < (self.excess, self.loss) {
            *self = Self {
                excess,
                loss: trial.loss,
                regret: trial.regret,
            };
        }
    }
}

/// Opens the study of a task.
fn open(name: &str, problem: Problem<'_>, seed: u64, size: Size) -> Game {
    let task = problem.task();
    let count = problem.objective_count();
    let metrics: Vec<String> = (0..count).map(|at| format!("loss{at}")).collect();
    let mut setting = game::setting(game::space(&task.space), &metrics, seed);
    setting.trials = Some(size.trials as u64);
    setting.slots = size.slots;
    let limit = task.limited.then(|| Limit {
        metric: "cost".into(),
        min: None,
        max: Some(0.0),
    });
    Game::open(name, "", setting, limit.into_iter().collect())
        .unwrap_or_else(|| panic!("no sampler `{name}` for {}", task.name))
}

/// Number of random configurations that tell the scale of a task.
const SCALE_SAMPLE: u64 = 300;

/// Returns the median regret of random configurations: the scale of the task. With several
/// objectives the regret is a share already.
pub(crate) fn scale(problem: Problem<'_>, seed: u64) -> f64 {
    let Problem::Single(task) = problem else {
        return 1.0;
    };
    let space = game::space(&task.space);
    let instance = (task.instance)(seed);
    let mut regrets: Vec<f64> = (0..SCALE_SAMPLE)
        .map(|at| {
            let mut rng = stream(seed, Purpose::Design, at);
            let unit: Vec<f64> = (0..space.dims()).map(|_| rng.random()).collect();
            instance(&space.decode(&unit), &mut rng).regret
        })
        .filter(|regret| regret.is_finite())
        .collect();
    regrets.sort_by(f64::total_cmp);
    regrets.get(regrets.len() / 2).copied().unwrap_or(1.0)
}
