//! Fixtures for the tests of schedulers: trials that report what the test tells them to, and whole
//! simulated studies with faults.

use super::simulation::{Curve, Mishap, Simulation};
use super::{Judgement, Next, SCHEDULERS, TrialScheduler, judgement, mark_beyond_max};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use swath_model::source::{Diagnostics, Section, Table};
use swath_model::space::{Space, Value};
use swath_model::study::kind::find;
use swath_model::study::{
    Attempt, Datum, Entry, Event, Exit, FORMAT, Goal, Header, LogRecord, Metric, Objective, Origin,
    Setting, Study, Take, Timestamp, TrialId, TrialState, Usage, Verdict,
};

/// Returns the setting of the tests: the objective `loss` over the resource `epoch`.
pub(super) fn setting(checkpoint: bool) -> Setting {
    Setting {
        space: Arc::new(Space::default()),
        objectives: vec![objective(Goal::Min)],
        seed: 7,
        trials: None,
        slots: 4,
        resource: Some("epoch".into()),
        checkpoint,
        dir: None,
    }
}

/// Returns a space of one number from 0 to 1.
pub(super) fn line() -> Arc<Space> {
    let mut diagnostics = Diagnostics::default();
    let table = Table::parse("x = { min = 0.0, max = 1.0 }", &mut diagnostics);
    let section = Section::new("space", 0..0, table);
    let space = Space::parse(section, None, &mut diagnostics);
    Arc::new(space.expect("a valid space"))
}

fn objective(goal: Goal) -> Objective {
    Objective {
        metric: "loss".into(),
        goal,
        take: Take::Best,
    }
}

/// Returns two objectives: `loss`, minimised, and `speed`, maximised.
pub(super) fn several() -> Vec<Objective> {
    let speed = Objective {
        metric: "speed".into(),
        ..objective(Goal::Max)
    };
    vec![objective(Goal::Min), speed]
}

fn header(trials: Option<u64>) -> Header {
    Header {
        objectives: vec![objective(Goal::Min)],
        resource: Some("epoch".into()),
        trials,
        ..Header::default()
    }
}

/// Builds a scheduler from the text of its section. Returns it with the diagnostics' messages.
pub(super) fn try_build(
    name: &str,
    options: &str,
    setting: &Setting,
) -> (Option<Box<dyn TrialScheduler>>, Vec<String>) {
    let mut diagnostics = Diagnostics::default();
    let table = Table::parse(options, &mut diagnostics);
    let section = Section::new("scheduler", 0..options.len(), table);
    let kind = find(SCHEDULERS, name).expect("a scheduler of that name");
    let built = kind.make(section, setting, &mut diagnostics);
    (
        built,
        diagnostics
            .list
            .into_iter()
            .map(|diagnostic| diagnostic.message)
            .collect(),
    )
}

/// Builds a scheduler from the text of its section. Panics on any diagnostic.
pub(super) fn build(name: &str, options: &str, setting: &Setting) -> Box<dyn TrialScheduler> {
    let (built, messages) = try_build(name, options, setting);
    assert_eq!(messages, Vec::<String>::new());
    built.expect("a scheduler")
}

/// A study in which the test acts as driver and trials.
pub(super) struct Scenario {
    /// The state of the study.
    pub(super) study: Study,
    /// The scheduler under test.
    scheduler: Box<dyn TrialScheduler>,
}

impl Scenario {
    pub(super) fn new(name: &str, options: &str, setting: &Setting) -> Self {
        let mut world = Self {
            study: Study::default(),
            scheduler: build(name, options, setting),
        };
        let header = Header {
            objectives: setting.objectives.clone(),
            ..header(setting.trials)
        };
        world.happens(Event::Opened {
            format: FORMAT,
            header,
        });
        world
    }

    pub(super) fn happens(&mut self, event: Event) {
        let entry = Entry {
            seq: self.study.next_seq(),
            at: Timestamp::from_micros(0),
            event,
            away: None,
        };
        self.study.apply(&entry).expect("a legal event");
        self.scheduler.observe(&self.study, &entry.event);
    }

    /// Creates and starts the next trial.
    pub(super) fn fresh(&mut self) -> TrialId {
        let trial = self.study.next_id();
        let origin = Origin::Suggested("test".to_owned());
        self.happens(Event::Created {
            trial,
            params: swath_model::space::Params::default(),
            origin,
            seed: 0,
        });
        self.start(trial, false);
        trial
    }

    pub(super) fn start(&mut self, trial: TrialId, resume: bool) {
        let until = self.scheduler.until(&self.study, trial);
        let attempt = Attempt(self.study.trial(trial).expect("a trial").attempts + 1);
        self.happens(Event::Started {
            trial,
            attempt,
            until,
            slot: 0,
            resume,
        });
    }

    /// Reports `loss` at `epoch` of a running trial, carries out the verdict and returns it.
    pub(super) fn report(&mut self, trial: TrialId, epoch: f64, loss: f64) -> Judgement {
        self.report_values(trial, &[("epoch", epoch), ("loss", loss)])
    }

    pub(super) fn report_values(&mut self, trial: TrialId, values: &[(&str, f64)]) -> Judgement {
        let values = values
            .iter()
            .map(|(name, number)| ((*name).into(), Datum::Number(Metric(*number))))
            .collect();
        let attempt = Attempt(self.study.trial(trial).expect("a trial").attempts);
        let record = mark_beyond_max(
            &*self.scheduler,
            None,
            &self.study,
            trial,
            LogRecord::Report { values },
        );
        self.happens(Event::Logged {
            trial,
            attempt,
            record,
            line_end: None,
        });
        let judgement = judgement(&*self.scheduler, None, &self.study, trial, false);
        if !judgement.why.is_empty() {
            let (verdict, why) = (judgement.verdict, judgement.why.clone());
            self.happens(Event::Judged {
                trial,
                verdict,
                why,
            });
        }
        match judgement.verdict {
            Verdict::Continue => {}
            Verdict::Pause => self.end(trial, Exit::Paused),
            Verdict::Stop | Verdict::Complete => self.end(trial, Exit::Stopped),
        }
        judgement
    }

    pub(super) fn end(&mut self, trial: TrialId, exit: Exit) {
        let attempt = Attempt(self.study.trial(trial).expect("a trial").attempts);
        self.happens(Event::Ended {
            trial,
            attempt,
            exit,
            usage: Usage::default(),
        });
    }

    /// Creates trials one after the other, lets each report once, and returns the verdicts.
    pub(super) fn arrivals<const N: usize>(
        &mut self,
        epoch: f64,
        losses: [f64; N],
    ) -> [Verdict; N] {
        losses.map(|loss| {
            let trial = self.fresh();
            self.report(trial, epoch, loss).verdict
        })
    }

    pub(super) fn next(&self) -> Next {
        self.scheduler.next(&self.study, true)
    }

    pub(super) fn next_without_room(&self) -> Next {
        self.scheduler.next(&self.study, false)
    }

    pub(super) fn finished(&self, trial: TrialId) -> bool {
        self.scheduler.finished(&self.study, trial)
    }

    pub(super) fn choice(&self) -> Option<String> {
        self.scheduler.choice().map(str::to_owned)
    }

    pub(super) fn until(&self, trial: TrialId) -> Option<u64> {
        self.scheduler
            .until(&self.study, trial)
            .map(|until| until.0)
    }
}

/// Returns the id of the trial that `next` resumes; `None` for any other action.
pub(super) fn resumed(next: &Next) -> Option<u32> {
    match next {
        Next::Resume { trial, .. } => Some(trial.0),
        _ => None,
    }
}

/// A generated study.
#[derive(Debug, Clone)]
struct World {
    /// The name and options of the scheduler, and whether trials save checkpoints.
    scheduler: (&'static str, &'static str, bool),
    objectives: Vec<Objective>,
    curves: Vec<Curve>,
    slots: usize,
    /// For each trial, the points at which its first attempts are lost, and whether it ignores the
    /// resource at which its attempt is to end.
    mishaps: Vec<(Vec<usize>, bool)>,
}

/// Schedulers of the generated studies: name, options, and whether trials save checkpoints.
const KINDS: &[(&str, &str, bool)] = &[
    ("fifo", "", false),
    ("asha", "min = 1\nmax = 27", false),
    ("asha", "min = 1\nmax = 27", true),
    ("asha", "min = 2\nmax = 20\nreduction = 2", true),
    ("asha", "min = 1\nmax = 27\nmode = \"restart\"", false),
    ("auto", "min = 1\nmax = 27", false),
    ("auto", "min = 1\nmax = 9", true),
    ("hyperband", "min = 1\nmax = 27", false),
    ("hyperband", "min = 1\nmax = 27\nbrackets = 2", true),
    ("median", "min = 2\npeers = 3", false),
    ("pbt", "max = 20\ninterval = 5\npopulation = 4", true),
];

const PROMOTING: &[(&str, &str, bool)] = &[
    ("asha", "min = 1\nmax = 27", true),
    ("asha", "min = 2\nmax = 20\nreduction = 2", true),
    ("hyperband", "min = 1\nmax = 27\nbrackets = 2", true),
];

/// Generates curves that fall from a start towards an end, with noise, gaps, fractions, early ends
/// and NaN.
fn curve() -> impl Strategy<Value = Curve> {
    let shape = (
        0.0..1.0f64,
        0.0..2.0f64,
        0.02..0.5f64,
        prop_oneof![Just(1.0), Just(0.5), Just(2.0)],
    );
    let odd = (
        prop::option::weighted(0.2, 1usize..30),
        prop::option::weighted(0.1, 0usize..30),
        0.5..2.0f64,
    );
    (shape, odd).prop_map(|((end, drop, rate, stride), (last, diverges, pace))| {
        let steps = last.unwrap_or((30.0 / stride) as usize);
        let points: Vec<(f64, f64)> = (0..steps)
            .map(|step| {
                let at = stride * (step + 1) as f64;
                let value = end + drop * (-rate * at).exp();
                let has_diverged = diverges.is_some_and(|from| step >= from);
                (at, if has_diverged { f64::NAN } else { value })
            })
            .collect();
        // A second objective, used only by studies with several.
        let others = points
            .iter()
            .map(|(at, _)| vec![(at * (1.0 + end)).sin()])
            .collect();
        Curve {
            params: [("x".into(), Value::Float(end))].into_iter().collect(),
            points,
            others,
            pace,
        }
    })
}

fn world() -> impl Strategy<Value = World> {
    (world_of(KINDS), any::<bool>()).prop_map(|(world, has_several)| {
        if has_several {
            World {
                objectives: several(),
                ..world
            }
        } else {
            world
        }
    })
}

fn world_of(kinds: &'static [(&'static str, &'static str, bool)]) -> impl Strategy<Value = World> {
    let losses = (prop::collection::vec(0usize..8, 0..3), any::<bool>());
    let trials = prop::collection::vec((curve(), losses), 1..40);
    (prop::sample::select(kinds), trials, 1usize..6).prop_map(|(scheduler, trials, slots)| {
        let (curves, mishaps) = trials.into_iter().unzip();
        World {
            scheduler,
            objectives: vec![objective(Goal::Min)],
            curves,
            slots,
            mishaps,
        }
    })
}

impl World {
    fn build(&self) -> Box<dyn TrialScheduler> {
        let (name, options, checkpoint) = self.scheduler;
        let trials = Some(self.curves.len() as u64);
        let objectives = self.objectives.clone();
        build(
            name,
            options,
            &Setting {
                trials,
                objectives,
                space: line(),
                ..setting(checkpoint)
            },
        )
    }

    fn run(&self, check: impl FnOnce(&Simulation<'_>)) {
        let mishap = |TrialId(trial): TrialId, Attempt(attempt): Attempt| {
            let (losses, ignores_until) = &self.mishaps[trial as usize - 1];
            let lost_before = losses.get(attempt as usize - 1).copied();
            Mishap {
                lost_before,
                ignores_until: *ignores_until,
            }
        };
        let objectives = self.objectives.clone();
        let header = Header {
            objectives,
            ..header(Some(self.curves.len() as u64))
        };
        let mut simulation = Simulation::new(header, self.build(), self.slots, &self.curves)
            .expect("a good header")
            .with_checkpoints(self.scheduler.2)
            .with_mishaps(&mishap)
            .with_entries();
        simulation
            .run(|simulation| {
                assert!(simulation.study.running_count() <= self.slots);
                assert!(simulation.entries.len() < 100_000, "it never ends");
                false
            })
            .expect("the scheduler asks for nothing impossible");
        check(&simulation);
    }
}

/// Returns all answers of a scheduler in the current state, as text to compare.
fn answers(scheduler: &dyn TrialScheduler, study: &Study, room: bool) -> String {
    let trials: Vec<_> = study
        .running()
        .chain(study.waiting())
        .map(|trial| {
            (
                trial,
                scheduler.verdict(study, trial),
                scheduler.until(study, trial),
                scheduler.finished(study, trial),
            )
        })
        .collect();
    format!(
        "{:?} {:?} {trials:?}",
        scheduler.next(study, room),
        scheduler.next(study, false)
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_study_ends_without_a_running_or_forgotten_trial(world in world()) {
        world.run(|simulation| {
            let study = &simulation.study;
            assert_eq!(study.running_count() + study.waiting().count(), 0);
            assert_eq!(simulation.scheduler().next(study, simulation.room()), Next::Done);
            if world.scheduler.0 != "pbt" {
                assert_eq!(study.trials().len(), world.curves.len(), "the budget of trials is used");
            }
            for trial in study.trials() {
                let promoted = trial.state == TrialState::Paused && trial.verdict == Some(Verdict::Continue);
                assert!(!promoted, "trial {} was promoted and forgotten", trial.id);
            }
            let mut points = world.curves.iter().flat_map(|curve| &curve.points);
            if points.all(|(_, value)| value.is_finite()) {
                assert!(study.counts().complete > 0, "a trial reaches the end of its curve");
            }
        });
    }

    #[test]
    fn a_replayed_scheduler_answers_like_a_live_one(world in world(), cut in 0.0..1.0f64) {
        world.run(|simulation| {
            let cut = (simulation.entries.len() as f64 * cut) as usize;
            let (mut live, mut replayed) = (world.build(), world.build());
            let mut study = Study::default();
            for entry in &simulation.entries[..cut] {
                study.apply(entry).expect("it was legal once");
                live.observe(&study, &entry.event);
                // Queries must not change the scheduler.
                for trial in study.running() {
                    drop((live.verdict(&study, trial), live.until(&study, trial)));
                }
                drop((live.next(&study, true), live.next(&study, false)));
            }
            let mut again = Study::default();
            for entry in &simulation.entries[..cut] {
                again.apply(entry).expect("it was legal once");
                replayed.observe(&again, &entry.event);
            }
            assert_eq!(answers(&*live, &study, true), answers(&*replayed, &again, true));
        });
    }

    #[test]
    fn a_rung_promotes_each_trial_once_and_no_more_trials_than_its_share(world in world_of(PROMOTING)) {
        world.run(|simulation| {
            let reduction = if world.scheduler.1.contains("reduction") { 2 } else { 3 };
            let mut promotions = BTreeMap::<u64, Vec<TrialId>>::new();
            let mut exempt = 0;
            let mut until = BTreeMap::new();
            for entry in &simulation.entries {
                match &entry.event {
                    Event::Judged { trial, verdict: Verdict::Continue, why } | Event::Requeued { trial, why, .. } => {
                        if why.contains("at the end of the study") {
                            exempt += 1;
                        }
                        if why.contains("rank") && !why.starts_with("goes on") {
                            let rung = why.split([' ', ':']).nth(1).expect("epoch n").parse::<u64>().expect("n");
                            promotions.entry(rung).or_default().push(*trial);
                        }
                    }
                    Event::Started { trial, until: now, .. } => {
                        let now = now.expect("promotion always says how far").0;
                        let before = until.insert(*trial, now).unwrap_or(0);
                        assert!(now >= before, "trial {trial} was sent back from {before} to {now}");
                    }
                    _ => {}
                }
            }
            for (rung, promoted) in promotions {
                let distinct: BTreeSet<TrialId> = promoted.iter().copied().collect();
                assert_eq!(distinct.len(), promoted.len(), "a trial is promoted from rung {rung} twice");
                let seen = simulation.study.trials().iter().filter(|trial| trial.metrics.get("epoch").is_some_and(|epoch| epoch.max.is_some_and(|at| at >= rung as f64))).count();
                assert!(promoted.len() <= seen / reduction + exempt, "{} of {seen} promotions from {rung}", promoted.len());
            }
        });
    }

    #[test]
    fn each_bracket_gets_its_share_of_the_trials(world in world_of(&PROMOTING[2..])) {
        world.run(|simulation| {
            // Two of four brackets: 27 and ceil(4 / 3 · 9) = 12 trials of 39.
            let mut first = BTreeMap::new();
            for entry in &simulation.entries {
                if let Event::Started { trial, attempt: Attempt(1), until, .. } = &entry.event {
                    first.insert(*trial, until.expect("promotion always says how far").0);
                }
            }
            let all = first.len() as f64;
            let aggressive = first.values().filter(|until| **until == 1).count() as f64;
            assert!((aggressive - all * 27.0 / 39.0).abs() <= 1.0, "{aggressive} of {all}");
        });
    }
}
