//! The contract of schedulers, checked for each implementation in the registry: answers are a
//! function of the observed events, queries change nothing, every decision has a reason, no new
//! trial is requested without a free slot, and every study ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use swath::numerics::pareto::dominates;
use swath::scheduler::simulation::{Curve, Mishap, Simulation};
use swath::scheduler::{Next, SCHEDULERS, TrialScheduler};
use swath::source::{Diagnostics, Section, Table};
use swath::space::{Space, Value};
use swath::study::{
    Attempt, Event, Goal, Header, Objective, Setting, Study, Take, TrialId, Verdict, kind,
};

/// Every scheduler with options that make it decide something within 9 epochs, and whether its
/// trials have checkpoints.
const SUBJECTS: &[(&str, &str, bool)] = &[
    ("fifo", "", false),
    (
        "program",
        concat!(
            "max = 9\ncommand = ['python3', '",
            env!("CARGO_MANIFEST_DIR"),
            "/examples/scheduler.py', '1.5']"
        ),
        false,
    ),
    ("median", "min = 2\npeers = 2", false),
    ("asha", "min = 1\nmax = 9\nreduction = 3", false),
    ("asha", "min = 1\nmax = 9\nreduction = 3", true),
    ("asha", "min = 1\nmax = 9\nmode = 'restart'", false),
    ("auto", "min = 1\nmax = 9\nreduction = 3", false),
    ("auto", "min = 1\nmax = 9\nreduction = 3", true),
    ("hyperband", "min = 1\nmax = 9\nreduction = 3", false),
    ("hyperband", "min = 1\nmax = 9\nreduction = 3", true),
    ("pbt", "max = 9\ninterval = 3\npopulation = 4", true),
];

/// The subjects that judge by several objectives too. The example program judges by the first one.
const SEVERAL: &[(&str, &str, bool)] = SUBJECTS.split_at(2).1;

const TRIALS: u32 = 24;

fn objective() -> Objective {
    Objective {
        metric: "loss".into(),
        goal: Goal::Min,
        take: Take::Best,
    }
}

/// Returns one objective, or the same with a second, conflicting one.
fn objectives(count: usize) -> Vec<Objective> {
    let speed = Objective {
        metric: "speed".into(),
        goal: Goal::Max,
        take: Take::Best,
    };
    [objective(), speed].into_iter().take(count).collect()
}

fn build(
    name: &str,
    options: &str,
    checkpoint: bool,
    count: usize,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn TrialScheduler>> {
    let setting = Setting {
        space: Arc::new(Space::default()),
        objectives: objectives(count),
        seed: 3,
        trials: Some(u64::from(TRIALS)),
        slots: 3,
        resource: Some("epoch".into()),
        checkpoint,
        dir: None,
    };
    let section = Section::new(
        "scheduler",
        0..options.len(),
        Table::parse(options, diagnostics),
    );
    let kind = kind::find(SCHEDULERS, name).expect("it is in the registry");
    kind.make(section, &setting, diagnostics)
}

fn scheduler_of(subject: (&str, &str, bool)) -> Box<dyn TrialScheduler> {
    scheduler_for(subject, 1)
}

fn scheduler_for(
    (name, options, checkpoint): (&str, &str, bool),
    objectives: usize,
) -> Box<dyn TrialScheduler> {
    let mut diagnostics = Diagnostics::default();
    let built = build(name, options, checkpoint, objectives, &mut diagnostics);
    assert_eq!(diagnostics.list, vec![], "{name}");
    built.expect("the options are valid")
}

/// Returns good and bad learning curves in no particular order. The fifth diverges, the seventh
/// ends early, every third is slow.
fn curves() -> Vec<Curve> {
    (1..=TRIALS)
        .map(|trial| {
            let end = f64::from(trial * 7 % 11) / 11.0;
            let epochs = if trial == 7 { 4 } else { 9 };
            let speed = f64::from(trial * 5 % 13);
            Curve {
                params: [("x".into(), Value::Float(end))].into_iter().collect(),
                others: (1..=epochs)
                    .map(|epoch| vec![speed + f64::from(epoch)])
                    .collect(),
                points: (1..=epochs)
                    .map(|epoch| {
                        let has_diverged = trial == 5 && epoch > 2;
                        let loss = if has_diverged {
                            f64::NAN
                        } else {
                            end + 1.0 / f64::from(epoch)
                        };
                        (f64::from(epoch), loss)
                    })
                    .collect(),
                pace: if trial % 3 == 0 { 2.5 } else { 1.0 },
            }
        })
        .collect()
}

/// Returns the mishap of an attempt: some attempts are lost, some programs do not end where they
/// should.
fn mishap(TrialId(trial): TrialId, Attempt(attempt): Attempt) -> Mishap {
    let lost_before = (trial.is_multiple_of(6) && attempt < 3).then_some(attempt as usize);
    Mishap {
        lost_before,
        ignores_until: trial.is_multiple_of(4),
    }
}

fn simulate(subject: (&str, &str, bool), slots: usize, check: impl FnOnce(&Simulation<'_>)) {
    simulate_for(subject, 1, slots, check);
}

fn simulate_for(
    subject: (&str, &str, bool),
    count: usize,
    slots: usize,
    check: impl FnOnce(&Simulation<'_>),
) {
    let header = Header {
        objectives: objectives(count),
        resource: Some("epoch".into()),
        trials: Some(u64::from(TRIALS)),
        ..Header::default()
    };
    let curves = curves();
    let mut simulation = Simulation::new(header, scheduler_for(subject, count), slots, &curves)
        .expect("the header is good")
        .with_checkpoints(subject.2)
        .with_mishaps(&mishap)
        .with_entries();
    simulation
        .run(|simulation| {
            assert!(simulation.study.running_count() <= slots);
            assert!(simulation.entries.len() < 10_000, "{subject:?} never ends");
            false
        })
        .expect("the scheduler requests nothing impossible");
    check(&simulation);
}

/// Returns all answers that the scheduler would give now, as text.
fn answers(scheduler: &dyn TrialScheduler, study: &Study) -> String {
    let trials: Vec<_> = study
        .trials()
        .iter()
        .map(|trial| {
            (
                trial.id,
                (
                    scheduler.verdict(study, trial.id),
                    scheduler.until(study, trial.id),
                    scheduler.finished(study, trial.id),
                ),
            )
        })
        .collect();
    format!(
        "{:?} {:?} {trials:?}",
        scheduler.next(study, true),
        scheduler.next(study, false)
    )
}

#[test]
fn every_scheduler_of_the_registry_is_a_subject() {
    let subjects: BTreeSet<_> = SUBJECTS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(subjects, SCHEDULERS.iter().map(|kind| kind.name).collect());
}

#[test]
fn every_study_ends_with_its_budget_used_and_an_incumbent() {
    for subject in SUBJECTS {
        for slots in [1, 3, 50] {
            simulate(*subject, slots, |simulation| {
                let study = &simulation.study;
                assert_eq!(
                    study.running_count() + study.waiting().count(),
                    0,
                    "{subject:?} {slots}"
                );
                assert_eq!(
                    simulation.scheduler().next(study, false),
                    Next::Done,
                    "{subject:?} {slots}"
                );
                assert!(study.incumbent().is_some(), "{subject:?} {slots}");
                assert!(subject.0 == "pbt" || study.trials().len() == TRIALS as usize);
            });
        }
    }
}

#[test]
fn the_same_events_give_the_same_answers_and_queries_change_nothing() {
    for subject in SUBJECTS {
        simulate(*subject, 3, |simulation| {
            let mut questioned = scheduler_of(*subject);
            let mut study = Study::default();
            for (at, entry) in simulation.entries.iter().enumerate() {
                study.apply(entry).expect("it was legal once");
                questioned.observe(&study, &entry.event);
                let now = answers(&*questioned, &study);
                assert_eq!(answers(&*questioned, &study), now, "{subject:?}");
                if at % 7 > 0 {
                    continue;
                }
                let mut replayed = scheduler_of(*subject);
                let mut again = Study::default();
                for entry in &simulation.entries[..=at] {
                    again.apply(entry).expect("it was legal once");
                    replayed.observe(&again, &entry.event);
                }
                assert_eq!(answers(&*replayed, &again), now, "{subject:?} after {at}");
            }
        });
    }
}

#[test]
fn every_decision_has_a_reason_and_is_taken_once() {
    for subject in SUBJECTS {
        simulate(*subject, 3, |simulation| {
            for pair in simulation.entries.windows(2) {
                if let Event::Judged {
                    trial,
                    verdict,
                    why,
                } = &pair[0].event
                {
                    assert!(!why.is_empty(), "{subject:?}");
                    let again = matches!(&pair[1].event, Event::Judged { trial: other, .. } if other == trial);
                    assert!(!again, "{subject:?}: {verdict:?} of {trial} is repeated");
                }
            }
            let has_decided = simulation.entries.iter().any(|entry| {
                matches!(
                    entry.event,
                    Event::Judged {
                        verdict: Verdict::Stop | Verdict::Pause,
                        ..
                    }
                )
            });
            assert_eq!(has_decided, subject.0 != "fifo", "{subject:?}");
        });
    }
}

#[test]
fn without_room_no_new_trial_is_requested() {
    for subject in SUBJECTS {
        simulate(*subject, 3, |simulation| {
            let mut scheduler = scheduler_of(*subject);
            let mut study = Study::default();
            for entry in &simulation.entries {
                study.apply(entry).expect("it was legal once");
                scheduler.observe(&study, &entry.event);
                match scheduler.next(&study, false) {
                    Next::Resume { trial, .. } => {
                        let state = study.trial(trial).map(|trial| trial.state.word());
                        assert_eq!(state, Some("paused"), "{subject:?}");
                    }
                    Next::Wait => assert!(
                        study.running_count() + study.waiting().count() > 0,
                        "{subject:?}"
                    ),
                    Next::Done => assert_eq!(study.running_count(), 0, "{subject:?}"),
                    other => panic!("{subject:?} asks for {other:?}"),
                }
            }
        });
    }
}

#[test]
fn an_unknown_key_is_an_error() {
    for (name, options, checkpoint) in SUBJECTS {
        let mut diagnostics = Diagnostics::default();
        build(
            name,
            &format!("{options}\nnonsense = 1"),
            *checkpoint,
            1,
            &mut diagnostics,
        );
        let codes: Vec<_> = diagnostics
            .list
            .iter()
            .map(|diagnostic| diagnostic.code)
            .collect();
        assert_eq!(codes, ["unknown-key"], "{name}");
    }
}

/// Returns the best values that a trial has reported up to an epoch, oriented so that smaller is
/// better.
fn shown(curve: &Curve, epoch: f64) -> Vec<f64> {
    let until = curve.points.partition_point(|(at, _)| *at <= epoch);
    let loss = curve.points[..until]
        .iter()
        .map(|(_, loss)| *loss)
        .fold(f64::INFINITY, f64::min);
    let speed = curve.others[..until].iter().map(|others| -others[0]);
    vec![loss, speed.fold(f64::INFINITY, f64::min)]
}

#[test]
fn with_several_objectives_only_dominated_trials_end_early() {
    let curves = curves();
    let mut ended = 0;
    for (subject, slots) in SEVERAL
        .iter()
        .flat_map(|subject| [(subject, 1), (subject, 4)])
    {
        simulate_for(*subject, 2, slots, |simulation| {
            let study = &simulation.study;
            let steps = study
                .trials()
                .iter()
                .filter_map(|trial| Some((trial, trial.step?)));
            for (trial, step) in steps.clone() {
                // Skip trial 5, which diverges in one objective: it may be ended even if no trial
                // dominates it.
                let is_ended = matches!(trial.state.word(), "stopped" | "paused");
                if !is_ended || trial.id == TrialId(5) {
                    continue;
                }
                ended += 1;
                let own = shown(&curves[trial.id.0 as usize - 1], step);
                let mut as_far = steps.clone().filter(|(_, other)| *other >= step);
                assert!(
                    as_far.any(|(trial, _)| {
                        dominates(&shown(&curves[trial.id.0 as usize - 1], step), &own)
                    }),
                    "{subject:?}: no trial dominates trial {} at epoch {step}",
                    trial.id
                );
            }
        });
    }
    assert!(
        ended > 50,
        "{ended} trials were ended early, so hardly anything was tested"
    );
}

#[test]
fn with_several_objectives_the_same_events_give_the_same_answers() {
    for subject in SEVERAL {
        simulate_for(*subject, 2, 3, |simulation| {
            let mut scheduler = scheduler_for(*subject, 2);
            let mut study = Study::default();
            for entry in &simulation.entries {
                study.apply(entry).expect("it was legal once");
                scheduler.observe(&study, &entry.event);
                let now = answers(&*scheduler, &study);
                assert_eq!(answers(&*scheduler, &study), now, "{subject:?}");
            }
            assert_eq!(
                answers(&*scheduler, &study),
                answers(simulation.scheduler(), &study),
                "{subject:?}"
            );
        });
    }
}
