//! The behaviour of every sampler under outcome constraints and replicates.

use crate::play::{Game, space};
use swath::sampler::SAMPLERS;
use swath::space::{Params, Value};
use swath::study::{
    Attempt, Datum, Event, Exit, Header, Limit, LogRecord, Metric, Origin, TrialId, Usage,
};

const SPACE: &str =
    "x = { min = 0.0, max = 1.0 }\ny = { min = 0.0, max = 1.0 }\nk = [\"a\", \"b\"]\n";

fn at(params: &Params, name: &str) -> f64 {
    params.get(name).and_then(Value::as_f64).unwrap_or(0.0)
}

/// Edits the header of the study, to add outcome constraints on `g` or replicates.
fn edit(game: &mut Game, header: impl FnOnce(&mut Header)) {
    let mut new = game.study.header().clone();
    header(&mut new);
    game.commit(Event::Edited {
        header: new,
        changes: Vec::new(),
        fill: Params::default(),
        outside: Vec::new(),
    });
}

fn tell(game: &mut Game, trial: TrialId, value: f64, constrained: Option<f64>) {
    let values = [("f0", Some(value)), ("g", constrained)]
        .into_iter()
        .filter_map(|(name, value)| Some((name.into(), Datum::Number(Metric(value?)))))
        .collect();
    game.commit(Event::Logged {
        trial,
        attempt: Attempt(1),
        record: LogRecord::Report { values },
        line_end: None,
    });
    game.commit(Event::Ended {
        trial,
        attempt: Attempt(1),
        exit: Exit::Done,
        usage: Usage::default(),
    });
}

/// Plays a study whose objective falls towards x = 1 while the constraint holds only up to x = 0.4.
/// Returns how many of the forty trials after the first ten satisfy the constraint, and the best of
/// the feasible trials.
fn play(name: &str, constraints: Vec<Limit>) -> Option<(usize, f64)> {
    let mut game = Game::new(name, space(SPACE), 1, 11, 60)?;
    edit(&mut game, |header| header.limits = constraints);
    let mut feasible = 0;
    for number in 0..60 {
        let params = game.ask()?;
        let (x, y) = (at(&params, "x"), at(&params, "y"));
        let trial = game.start(params);
        tell(&mut game, trial, (x - 1.0) * (x - 1.0) + y * y, Some(x));
        if (10..50).contains(&number) && x <= 0.4 {
            feasible += 1;
        }
    }
    let best = game.study.incumbent().map_or(9.0, |best| {
        best.objective(&game.setting.objectives[0]).unwrap_or(9.0)
    });
    Some((feasible, best))
}

#[test]
fn samplers_that_learn_satisfy_an_outcome_constraint() {
    for name in ["tpe", "gp", "cmaes", "nsga2", "auto"] {
        let (unconstrained, _) = play(name, Vec::new()).unwrap_or_default();
        let constraint = Limit {
            metric: "g".into(),
            min: None,
            max: Some(0.4),
        };
        let (feasible, best) = play(name, vec![constraint]).unwrap_or_default();
        assert!(
            feasible >= 18 && feasible > unconstrained,
            "{name}: {feasible} of 40 are feasible, {unconstrained} without the constraint"
        );
        // The best feasible value is 0.36, on the boundary of the constraint.
        assert!((0.36..0.5).contains(&best), "{name}: {best}");
    }
}

#[test]
fn constraints_that_no_trial_satisfies_or_reports_break_no_sampler() {
    for kind in SAMPLERS {
        for constrained in [None, Some(f64::NAN), Some(1e300), Some(5.0)] {
            let Some(mut game) = Game::new(
                kind.name,
                space("n = { min = 1, max = 9 }\nk = [\"a\", \"b\"]\n"),
                1,
                3,
                18,
            ) else {
                continue;
            };
            edit(&mut game, |header| {
                header.limits = vec![
                    Limit {
                        metric: "g".into(),
                        min: None,
                        max: Some(0.0),
                    },
                    Limit {
                        metric: "h".into(),
                        min: Some(-1e308),
                        max: Some(1e308),
                    },
                ];
            });
            for number in 0..16 {
                let Some(params) = game.ask() else { break };
                let trial = game.start(params);
                match constrained {
                    None => game.tell(trial, &[f64::from(number)]),
                    constrained => tell(&mut game, trial, f64::from(number), constrained),
                }
            }
        }
    }
}

#[test]
fn a_sampler_sees_the_mean_of_a_configuration_also_after_a_replay() {
    for kind in SAMPLERS {
        let Some(mut game) = Game::new(
            kind.name,
            space("x = { min = 0, max = 60 }\nk = [\"a\", \"b\", \"c\"]\n"),
            1,
            5,
            60,
        ) else {
            continue;
        };
        edit(&mut game, |header| header.replicate = Some(2));
        for number in 0..12 {
            let Some(params) = game.ask() else { break };
            let value = at(&params, "x");
            let first = game.start(params.clone());
            tell(
                &mut game,
                first,
                value + 1000.0 * f64::from(number % 2),
                None,
            );
            let trial = game.study.next_id();
            game.commit(Event::Created {
                trial,
                params,
                origin: Origin::Replicate(first),
                seed: 1,
            });
            game.commit(Event::Started {
                trial,
                attempt: Attempt(1),
                until: None,
                slot: 0,
                resume: false,
            });
            tell(
                &mut game,
                trial,
                value - 1000.0 * f64::from(number % 2),
                None,
            );
            let standing = game
                .study
                .standing(first)
                .unwrap_or_else(|| panic!("{first} is complete"));
            assert_eq!(
                (standing.scores.as_slice(), standing.seeds, standing.proven),
                ([value].as_slice(), 2, true)
            );
        }
        let best = game.study.incumbent().map(|best| at(&best.params, "x"));
        let least = game
            .study
            .trials()
            .iter()
            .map(|trial| at(&trial.params, "x"))
            .fold(f64::INFINITY, f64::min);
        assert_eq!(
            best,
            Some(least),
            "{}: the best is by the mean, not by a lucky seed",
            kind.name
        );
        let mut again = Game::new(kind.name, game.setting.space.clone(), 1, 5, 60)
            .unwrap_or_else(|| panic!("it was made"));
        for entry in &game.entries[1..] {
            again.commit(entry.event.clone());
        }
        assert_eq!(again.ask(), game.ask(), "{} forgot something", kind.name);
    }
}
