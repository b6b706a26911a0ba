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
fn edited(game: &mut Game, header: impl FnOnce(&mut Header)) {
    let mut new = game.study.header().clone();
    header(&mut new);
    game.commit(Event::Edited {
        header: new,
        changes: Vec::new(),
        fill: Params::default(),
        outside: Vec::new(),
    });
}

fn tell(game: &mut Game, trial: TrialId, value: f64, limited: Option<f64>) {
    let number = |value| Datum::Number(Metric(value));
    let limited = limited.map(|limited| ("g".into(), number(limited)));
    let values = [("f0".into(), number(value))]
        .into_iter()
        .chain(limited)
        .collect();
    game.commit(Event::Logged {
        trial,
        attempt: Attempt(1),
        record: LogRecord::Report { values },
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
fn limited(name: &str, header: impl FnOnce(&mut Header)) -> Option<(usize, f64)> {
    let mut game = Game::new(name, space(SPACE), 1, 11, 60)?;
    edited(&mut game, header);
    let mut kept = Vec::new();
    for number in 0..60 {
        let params = game.ask()?;
        let (x, y) = (at(&params, "x"), at(&params, "y"));
        let trial = game.start(params);
        tell(&mut game, trial, (x - 1.0) * (x - 1.0) + y * y, Some(x));
        if (10..50).contains(&number) && x <= 0.4 {
            kept.push((x - 1.0) * (x - 1.0) + y * y);
        }
    }
    let best = game.study.incumbent().map_or(9.0, |best| {
        best.objective(&game.setting.objectives[0]).unwrap_or(9.0)
    });
    Some((kept.len(), best))
}

#[test]
fn samplers_that_learn_stay_within_a_limit() {
    let limit = |header: &mut Header| {
        header.limits = vec![Limit {
            metric: "g".into(),
            min: None,
            max: Some(0.4),
        }];
    };
    for name in ["tpe", "gp", "cmaes", "nsga2", "auto"] {
        let (without, _) = limited(name, |_| {}).unwrap_or_default();
        let (kept, best) = limited(name, limit).unwrap_or_default();
        assert!(
            kept >= 18 && kept > without,
            "{name}: {kept} of 40 keep the limit, {without} without one"
        );
        // The best feasible value is 0.36, on the boundary of the constraint.
        assert!((0.36..0.5).contains(&best), "{name}: {best}");
    }
}

#[test]
fn limits_that_nobody_keeps_or_reports_harm_nobody() {
    for kind in SAMPLERS {
        for limited in [None, Some(f64::NAN), Some(1e300), Some(5.0)] {
            let Some(mut game) = Game::new(
                kind.name,
                space("n = { min = 1, max = 9 }\nk = [\"a\", \"b\"]\n"),
                1,
                3,
                18,
            ) else {
                continue;
            };
            edited(&mut game, |header| {
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
                match limited {
                    None => game.tell(trial, &[f64::from(number)]),
                    limited => tell(&mut game, trial, f64::from(number), limited),
                }
            }
        }
    }
}

#[test]
fn a_sampler_sees_the_mean_of_a_configuration_and_is_alike_after_a_replay() {
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
        edited(&mut game, |header| header.replicate = Some(2));
        for number in 0..12 {
            let Some(params) = game.ask() else { break };
            let value = at(&params, "x");
            let head = game.start(params.clone());
            tell(
                &mut game,
                head,
                value + 1000.0 * f64::from(number % 2),
                None,
            );
            let trial = game.study.next_id();
            game.commit(Event::Created {
                trial,
                params,
                origin: Origin::Replicate(head),
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
                .standing(head)
                .unwrap_or_else(|| panic!("{head} is complete"));
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
