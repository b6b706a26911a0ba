//! The contract of samplers, checked for every implementation in the registry.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::play::{self, Game, space};
use swath::numerics::hypervolume::hypervolume;
use swath::sampler::{Ask, SAMPLERS};
use swath::source::{Diagnostics, Section, Table};
use swath::space::{Params, Value};
use swath::study::{
    Attempt, Event, Exit, Failure, Goal, Objective, Origin, Setting, Study, Take, TrialId,
    TrialState, Usage, kind,
};

const MIXED: &str = r#"
lr = { min = 1e-4, max = 1e-1, log = true }
layers = { min = 1, max = 4 }
units = { min = 8, max = 64, log = true, repeat = "layers" }
optimizer = ["sgd", "adam"]
momentum = { min = 0.0, max = 0.9, step = 0.3, when = "optimizer == 'sgd'" }
"#;

/// A mixed space in which every float has a step, which the grid sampler needs.
const MIXED_FOR_ALL: &str = r#"
layers = { min = 1, max = 3 }
units = { min = 1, max = 4, repeat = "layers" }
optimizer = ["sgd", "adam", "lamb"]
momentum = { min = 0.0, max = 0.9, step = 0.3, when = "optimizer == 'sgd'" }
steps = { min = 1, max = 100, log = true }
"#;

/// Stepped parameters with a log scale, with few and with many values.
const LOGARITHMIC_STEPS: &str = r#"
batch = { min = 16, max = 128, step = 16, log = true }
rate = { min = 0.05, max = 0.2, step = 0.05, log = true }
units = { min = 8, max = 100000, step = 8, log = true }
"#;

fn names() -> impl Iterator<Item = &'static str> {
    SAMPLERS.iter().map(|kind| kind.name)
}

fn bowl(params: &Params) -> f64 {
    params.iter().map(|(_, value)| cost(value)).sum()
}

fn cost(value: &Value) -> f64 {
    match value {
        Value::Text(text) => text.len() as f64,
        Value::List(list) => list.iter().map(cost).sum(),
        other => other
            .as_f64()
            .map_or(0.0, |x| (0.1 * x - 0.3) * (0.1 * x - 0.3)),
    }
}

fn end_with(game: &mut Game, trial: TrialId, exit: Exit) {
    game.commit(Event::Ended {
        trial,
        attempt: Attempt(1),
        exit,
        usage: Usage::default(),
    });
}

/// Plays `trials` trials, of which some fail, some are stopped, some stay pending and one is
/// imported. Returns the game with all events, and the proposals.
fn eventful(name: &str, text: &str, trials: usize) -> Option<(Game, Vec<Params>)> {
    let mut game = Game::new(name, space(text), 1, 7, trials as u64)?;
    let mut proposed = Vec::new();
    for at in 0..trials {
        let Some(params) = game.ask() else { break };
        assert_eq!(
            game.setting.space.admits(&params),
            Ok(()),
            "{name} left the space with {params:?}"
        );
        assert_eq!(
            game.ask().as_ref(),
            Some(&params),
            "{name} changed its mind"
        );
        proposed.push(params.clone());
        if at == 3 {
            let origin = Origin::Imported("elsewhere".to_owned());
            let unit = vec![0.5; game.setting.space.dims()];
            let params = game.setting.space.decode(&unit);
            let trial = game.study.next_id();
            game.commit(Event::Created {
                trial,
                params,
                origin,
                seed: 0,
            });
            continue;
        }
        let trial = game.start(params.clone());
        match at % 7 {
            2 => end_with(&mut game, trial, Exit::Failed(Failure::Code(1))),
            4 => {
                game.report(trial, &[bowl(&params)]);
                end_with(&mut game, trial, Exit::Stopped);
            }
            5 if at > trials / 2 => {}
            6 => game.tell(trial, &[f64::NAN]),
            _ => game.tell(trial, &[bowl(&params)]),
        }
    }
    Some((game, proposed))
}

#[test]
fn every_proposal_is_in_the_space_and_reproducible() {
    for name in names() {
        for text in [MIXED_FOR_ALL, MIXED, LOGARITHMIC_STEPS] {
            let Some((_, first)) = eventful(name, text, 22) else {
                continue;
            };
            let (_, second) = eventful(name, text, 22).unwrap();
            assert_eq!(first.len(), 22, "{name}");
            assert_eq!(first, second, "{name}");
        }
    }
}

#[test]
fn a_sampler_that_observes_the_same_events_continues_alike() {
    for name in names() {
        let Some((game, _)) = eventful(name, MIXED_FOR_ALL, 20) else {
            continue;
        };
        let mut again = Game::new(name, game.setting.space.clone(), 1, 7, 20).unwrap();
        for entry in &game.entries[1..] {
            again.commit(entry.event.clone());
        }
        assert_eq!(again.study, game.study);
        assert_eq!(again.ask(), game.ask(), "{name} forgot something");
    }
}

#[test]
fn constraints_hold() {
    let text = "a = { min = 1, max = 30 }\nb = { min = 1, max = 30 }\nc = [\"x\", \"y\"]\n";
    let space = play::game::constrained(text, "sum = \"a + b <= 20\"\n");
    for name in names() {
        let mut game = Game::new(name, space.clone(), 1, 1, 30).unwrap();
        for _ in 0..20 {
            let params = game.ask().unwrap();
            assert_eq!(space.admits(&params), Ok(()), "{name}");
            let trial = game.start(params.clone());
            game.tell(trial, &[-bowl(&params)]);
        }
    }
}

#[test]
fn each_configuration_of_a_finite_space_is_proposed_once_and_then_none() {
    let text = "a = { min = 1, max = 3 }\nb = [\"x\", \"y\"]\nc = { min = 0, max = 1, when = \"b == 'x'\" }\n";
    let few = play::game::constrained(
        "a = { min = 1, max = 50 }\nb = { min = 1, max = 50 }\n",
        "sum = \"a + b <= 4\"\n",
    );
    // An evolution strategy may come back to a point, so the example program is left out.
    for name in names().filter(|name| *name != "program") {
        for (space, size) in [
            (space(text), 9),
            (few.clone(), 6),
            (space("a = { min = 2, max = 2 }\n"), 1),
        ] {
            let mut game = Game::new(name, space, 1, 5, 20).unwrap();
            let mut proposed = Vec::new();
            for _ in 0..size {
                let params = game.ask().unwrap();
                assert!(!proposed.contains(&params), "{name} repeats {params:?}");
                proposed.push(params.clone());
                let trial = game.start(params.clone());
                game.tell(trial, &[bowl(&params)]);
            }
            assert_eq!(game.ask(), None, "{name}");
        }
    }
}

#[test]
fn no_near_copy_is_proposed_however_far_a_search_has_converged() {
    // The grid has its own points, and the example program its own rule.
    let samplers = names().filter(|name| !["program", "grid"].contains(name));
    for name in samplers {
        let text = "x = { min = 0.0, max = 1.0 }\nc = [\"a\", \"b\"]\n";
        let mut game = Game::new(name, space(text), 1, 5, 150).unwrap();
        let mut proposed: Vec<(f64, Value)> = Vec::new();
        for _ in 0..150 {
            let params = game.ask().unwrap();
            let x = params.get("x").unwrap().as_f64().unwrap();
            let choice = params.get("c").unwrap().clone();
            let copy = proposed
                .iter()
                .find(|(other, chosen)| *chosen == choice && (x - other).abs() < 1e-6);
            assert_eq!(copy, None, "{name} repeats {params:?}");
            proposed.push((x, choice));
            let trial = game.start(params);
            game.tell(trial, &[(x - 0.3).powi(2)]);
        }
    }
}

#[test]
fn odd_objective_values_break_no_sampler() {
    let oddities: [fn(usize) -> f64; 6] = [
        |_| 1.0,
        |_| f64::NAN,
        |at| if at % 2 == 0 { 1e300 } else { -1e300 },
        |at| if at == 3 { f64::INFINITY } else { at as f64 },
        |at| {
            if at == 5 {
                1.7e308
            } else {
                -1.7e308 * f64::from(at as u8 % 2)
            }
        },
        |at| 1e-300 * at as f64,
    ];
    for name in names() {
        for odd in oddities {
            let mut game = Game::new(name, space(MIXED_FOR_ALL), 1, 3, 20).unwrap();
            for at in 0..14 {
                let params = game.ask().unwrap();
                let trial = game.start(params);
                game.tell(trial, &[odd(at)]);
            }
        }
    }
}

#[test]
fn odd_spaces_break_no_sampler() {
    let wide: String = (0..200)
        .map(|at| format!("x{at} = {{ min = 0, max = 9 }}\n"))
        .collect();
    let real = format!(
        "y = {{ min = 1.5, max = 1.5 }}\n{}",
        wide.replace("max = 9 ", "max = 9.5 ")
    );
    for name in names() {
        for (text, trials) in [
            ("x = 3\n", 2),
            ("c = [\"only\"]\nx = { min = 1, max = 2 }\n", 4),
            ("x = { min = 2, max = 2 }\ny = { min = 0, max = 5 }\n", 8),
            (&wide, 11),
            (&real, 11),
        ] {
            let Some(mut game) = Game::new(name, space(text), 1, 3, 20) else {
                continue;
            };
            for _ in 0..trials {
                let Some(params) = game.ask() else { break };
                let trial = game.start(params.clone());
                game.tell(trial, &[bowl(&params)]);
            }
        }
    }
}

#[test]
fn several_objectives_are_searched_or_refused() {
    for name in names() {
        let Some(mut game) = Game::new(name, space(MIXED_FOR_ALL), 2, 3, 20) else {
            assert_eq!(name, "cmaes");
            continue;
        };
        for _ in 0..14 {
            let params = game.ask().unwrap();
            let trial = game.start(params.clone());
            game.tell(
                trial,
                &[
                    bowl(&params),
                    -params.get("steps").unwrap().as_f64().unwrap(),
                ],
            );
        }
    }
}

#[test]
fn odd_values_of_several_objectives_break_no_sampler_and_replay_alike() {
    let oddities: [fn(f64) -> [f64; 2]; 5] = [
        |_| [1.0, 1.0],
        |at| {
            if at % 3.0 == 0.0 {
                [f64::NAN, at]
            } else {
                [at, f64::NAN]
            }
        },
        |at| [1e300 * (at - 7.0), -1e300],
        |at| [at, if at > 4.0 { f64::INFINITY } else { -at }],
        |at| {
            [
                1.7e308 * if at % 2.0 == 0.0 { 1.0 } else { -1.0 },
                1e-300 * at,
            ]
        },
    ];
    for name in names() {
        for odd in oddities {
            let Some(mut game) = Game::new(name, space(MIXED_FOR_ALL), 2, 3, 40) else {
                continue;
            };
            for at in 0..26 {
                let trial = game.start(game.ask().unwrap());
                game.tell(trial, &odd(f64::from(at)));
            }
            let mut again = Game::new(name, game.setting.space.clone(), 2, 3, 40).unwrap();
            game.entries[1..]
                .iter()
                .for_each(|entry| again.commit(entry.event.clone()));
            assert_eq!(again.ask(), game.ask(), "{name} forgot something");
        }
    }
}

#[test]
fn the_front_of_a_model_dominates_more_than_that_of_chance() {
    // ZDT1 in five dimensions: Zitzler, Deb & Thiele, 2000.
    let text: String = (0..5)
        .map(|at| format!("x{at} = {{ min = 0.0, max = 1.0 }}\n"))
        .collect();
    let [random, tpe] = ["random", "tpe"].map(|name| {
        let volumes = (0..3).map(|seed| {
            let mut game = Game::new(name, space(&text), 2, seed, 100).unwrap();
            let values = play(&mut game, 100, zdt1);
            hypervolume(&values, &[1.1, 6.0])
        });
        volumes.sum::<f64>() / 3.0
    });
    // The hypervolume of the entire front is 6.27.
    assert!(tpe > 5.3 && tpe > random, "tpe {tpe}, random {random}");
}

fn zdt1(params: &Params) -> Vec<f64> {
    let x: Vec<f64> = params.iter().map(|(_, x)| x.as_f64().unwrap()).collect();
    let g = 1.0 + 9.0 * x[1..].iter().sum::<f64>() / 4.0;
    vec![x[0], g * (1.0 - (x[0] / g).sqrt())]
}

/// Runs `count` trials one after another, and returns their values.
fn play(game: &mut Game, count: usize, values: fn(&Params) -> Vec<f64>) -> Vec<Vec<f64>> {
    (0..count)
        .map(|_| {
            let params = game.ask().unwrap();
            let values = values(&params);
            let trial = game.start(params);
            game.tell(trial, &values);
            values
        })
        .collect()
}

#[test]
fn many_slots_get_different_proposals() {
    for name in names() {
        let mut game = Game::new(name, space(MIXED_FOR_ALL), 1, 3, 40).unwrap();
        for _ in 0..14 {
            let params = game.ask().unwrap();
            let trial = game.start(params.clone());
            game.tell(trial, &[bowl(&params)]);
        }
        let together: Vec<Params> = (0..6)
            .map(|_| {
                let params = game.ask().unwrap();
                game.start(params.clone());
                params
            })
            .collect();
        for (at, params) in together.iter().enumerate() {
            assert!(
                !together[..at].contains(params),
                "{name} gives two slots the same"
            );
        }
    }
}

#[test]
fn models_beat_chance_on_a_bowl() {
    let text = "x = { min = -5.0, max = 5.0 }\ny = { min = -5.0, max = 5.0 }\nz = { min = -5.0, max = 5.0 }\n";
    let random = mean_best("random", text);
    for (name, share) in [
        ("tpe", 0.7),
        ("gp", 0.05),
        ("auto", 0.1),
        ("nsga2", 1.0),
        ("cmaes", 1.0),
    ] {
        let best = mean_best(name, text);
        assert!(
            best < share * random,
            "{name}: {best}, random search: {random}"
        );
    }
}

/// Returns the mean over three seeds of the best value of 40 trials.
fn mean_best(name: &str, text: &str) -> f64 {
    let bests = (0..3).map(|seed| {
        let mut game = Game::new(name, space(text), 1, seed, 40).unwrap();
        let values = play(&mut game, 40, squared_distance);
        values.into_iter().flatten().fold(f64::INFINITY, f64::min)
    });
    bests.sum::<f64>() / 3.0
}

fn squared_distance(params: &Params) -> Vec<f64> {
    let squares = params
        .iter()
        .zip([1.0, -2.0, 3.0])
        .map(|((_, x), optimum)| (x.as_f64().unwrap() - optimum).powi(2));
    vec![squares.sum()]
}

#[test]
fn a_sampler_that_cannot_search_a_space_names_samplers_that_can() {
    assert!(refusal("cmaes", "c = [\"a\", \"b\"]\n", "").contains("`tpe`"));
    assert!(refusal("grid", "x = { min = 0.0, max = 1.0 }\n", "").contains("`sobol`"));
    assert_eq!(
        refusal("grid", "x = { min = 0.0, max = 1.0 }\n", "points = 4\n"),
        ""
    );
    assert_eq!(
        refusal(
            "grid",
            "x = { min = 0.0, max = 1.0 }\n",
            "points = { x = 4 }\norder = \"random\"\n"
        ),
        ""
    );
    assert!(
        refusal(
            "grid",
            "x = { min = 0.0, max = 1.0 }\n",
            "points = { y = 4 }\n"
        )
        .contains("not searched")
    );
    for name in names() {
        assert!(
            refusal(name, "x = { min = 0, max = 1 }\n", "nonsense = 1\n").contains("unknown key"),
            "{name}"
        );
    }
}

/// Builds a sampler for a space, and returns the diagnostics with their hints.
fn refusal(name: &str, text: &str, options: &str) -> String {
    let objective = Objective {
        metric: "f".into(),
        goal: Goal::Min,
        take: Take::Best,
    };
    let setting = Setting {
        space: space(text),
        objectives: vec![objective],
        seed: 0,
        trials: None,
        slots: 1,
        resource: None,
        checkpoint: false,
        dir: None,
    };
    let mut diagnostics = Diagnostics::default();
    let section = Section::new("search", 0..0, Table::parse(options, &mut diagnostics));
    let built = kind::find(SAMPLERS, name)
        .unwrap()
        .make(section, &setting, &mut diagnostics);
    assert!(built.is_some() || diagnostics.has_errors());
    diagnostics
        .list
        .iter()
        .map(|diagnostic| format!("{} {}", diagnostic.message, diagnostic.hints.join(" ")))
        .collect::<String>()
}

#[test]
fn a_grid_of_ten_to_the_thirty_points_starts_at_once() {
    let text: String = (0..30)
        .map(|at| format!("x{at} = {{ min = 0, max = 9 }}\n"))
        .collect();
    let mut game = Game::new("grid", space(&text), 1, 3, 20).unwrap();
    for at in 0..20_i64 {
        let params = game.ask().unwrap();
        assert_eq!(params.get("x29"), Some(&Value::Int(at % 10)));
        game.start(params);
    }
}

#[test]
fn a_sampler_proposes_in_a_study_without_trials_and_in_one_with_a_single_trial() {
    for name in names() {
        let mut game = Game::new(name, space(MIXED_FOR_ALL), 1, 3, 20).unwrap();
        let params = game.ask().unwrap();
        let trial = game.start(params);
        assert!(game.ask().is_some());
        game.tell(trial, &[1.0]);
        assert!(game.ask().is_some());
        assert_eq!(game.study.trial(trial).unwrap().state, TrialState::Complete);
        let ask = Ask {
            space: &game.setting.space,
            study: &Study::default(),
            trial: TrialId(9),
            seed: 1,
        };
        assert!(game.sampler.suggest(&ask).is_some());
    }
}
