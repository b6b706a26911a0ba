//! Tests of the sentences with studies whose answer is known, and with studies of pure noise.

use super::{Insight, Insights, LEVEL, Subject};
use crate::plots::Input;
use crate::plots::chronicle::Chronicle;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use swath_model::demo::{Demo, objective, text};
use swath_model::source::{Diagnostics, Section, Table};
use swath_model::space::{Space, Value};
use swath_model::study::{
    Event, Exit, Failure, Goal, Header, Limit, Objective, Origin, Take, TrialId, Verdict,
};
use swath_numerics::normal;
use swath_numerics::stream::{Purpose, stream};

const SPACE: &str = "
lr = { min = 1e-5, max = 1e-1, log = true }
momentum = { min = 0.0, max = 0.99 }
layers = { min = 1, max = 6 }
optimizer = [\"adam\", \"sgd\", \"rmsprop\"]
";
const NAMES: [&str; 4] = ["lr", "momentum", "layers", "optimizer"];

fn space(text: &str) -> Space {
    let mut diagnostics = Diagnostics::default();
    let table = Table::parse(text, &mut diagnostics);
    let section = Section::new("space", 0..0, table);
    Space::parse(section, None, &mut diagnostics).unwrap()
}

fn insights_in(demo: &Demo, space: &Space, is_running: bool) -> Vec<Insight> {
    let header = demo.study.header();
    let metrics = header.objectives.iter();
    let metrics = metrics.map(|objective| objective.metric.clone()).collect();
    let mut chronicle = Chronicle::new(header.resource.clone(), metrics);
    demo.entries.iter().for_each(|entry| chronicle.apply(entry));
    let input = Input::all(&demo.study, &chronicle, Some(space));
    Insights::of(&input, is_running, 50).insights
}

fn insights(demo: &Demo) -> Vec<Insight> {
    insights_in(demo, &space(SPACE), false)
}

fn of(insights: &[Insight], kind: Subject) -> Vec<&Insight> {
    insights.iter().filter(|it| it.kind == kind).collect()
}

fn only(insights: &[Insight], kind: Subject) -> &Insight {
    let found = of(insights, kind);
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0]
}

/// Random trials and their noise.
struct Draw(ChaCha8Rng);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(stream(seed, Purpose::Simulate, 0))
    }

    fn noise(&mut self) -> f64 {
        normal::quantile(self.0.random_range(1e-9..1.0))
    }

    fn unit(&mut self) -> Vec<f64> {
        (0..4).map(|_| self.0.random::<f64>()).collect()
    }
}

/// Returns the values of a point of the unit cube, as names and values.
fn params(unit: &[f64]) -> Vec<(&'static str, Value)> {
    let optimizer = ["adam", "sgd", "rmsprop"][(unit[3] * 3.0) as usize];
    vec![
        ("lr", Value::Float(1e-5 * 1e4_f64.powf(unit[0]))),
        ("momentum", Value::Float(unit[1] * 0.99)),
        ("layers", Value::Int(1 + (unit[2] * 6.0) as i64)),
        ("optimizer", text(optimizer)),
    ]
}

fn study(objectives: Vec<Objective>, trials: u64) -> Demo {
    let mut demo = Demo::with(&NAMES, objectives);
    edit(&mut demo, |header| header.trials = Some(trials));
    demo
}

fn edit(demo: &mut Demo, change: impl FnOnce(&mut Header)) {
    let mut header = demo.study.header().clone();
    change(&mut header);
    demo.event(Event::Edited {
        header,
        changes: Vec::new(),
        fill: swath_model::space::Params::default(),
        outside: Vec::new(),
    });
}

fn loss() -> Vec<Objective> {
    vec![objective("val_loss", Goal::Min)]
}

/// A study of random trials with this loss.
fn random(trials: u64, seed: u64, loss_of: impl Fn(&[f64], &mut Draw) -> f64) -> Demo {
    let mut demo = study(loss(), trials);
    let mut draw = Draw::new(seed);
    for _ in 0..trials {
        let unit = draw.unit();
        let value = loss_of(&unit, &mut draw);
        demo.complete(&params(&unit), &[("val_loss", value)]);
    }
    demo
}

/// A study of a sampler that tries half of its trials near the best one, with failures by chance.
fn adaptive(trials: u64, seed: u64, loss_of: impl Fn(&[f64], &mut Draw) -> f64) -> Demo {
    let mut demo = study(loss(), trials);
    let mut draw = Draw::new(seed);
    let mut best = (f64::INFINITY, draw.unit());
    for trial in 0..trials {
        let mut unit = draw.unit();
        if trial >= 10 && draw.0.random::<f64>() < 0.7 {
            for (x, centre) in unit.iter_mut().zip(&best.1) {
                *x = (centre + 0.1 * (*x - 0.5)).clamp(0.0, 0.999_999);
            }
        }
        let value = loss_of(&unit, &mut draw);
        let id = demo.start_from(&params(&unit), Origin::Suggested("tpe".into()));
        if draw.0.random::<f64>() < 0.1 {
            demo.end(id, Exit::Failed(Failure::Code(1)));
            continue;
        }
        demo.report(id, &[("val_loss", value)]);
        demo.end(id, Exit::Done);
        if value < best.0 {
            best = (value, unit);
        }
    }
    demo
}

/// Returns whether a sentence claims that something is more than chance.
fn claims(insight: &Insight) -> bool {
    let has = |name: &str| insight.numbers.get(name).is_some_and(|it| it == true);
    match insight.kind {
        Subject::Best => has("more_than_noise"),
        Subject::Failures => insight.numbers.contains_key("rule"),
        Subject::Importance | Subject::RangeEnd | Subject::Choice | Subject::Gain => true,
        Subject::Saved | Subject::Remaining | Subject::Untried => false,
    }
}

/// Returns the first false sentence of each study that has one.
fn false_alarms(studies: u64, study: impl Fn(u64) -> Demo) -> Vec<String> {
    let sentences = (0..studies).filter_map(|seed| {
        let insights = insights(&study(seed));
        let claim = insights.into_iter().find(claims)?;
        Some(format!("{seed}: {}", claim.text))
    });
    sentences.collect()
}

fn allowed(studies: u64) -> usize {
    (studies as f64 * LEVEL) as usize
}

#[test]
fn random_searches_of_noise_get_false_sentences_at_most_at_the_stated_level() {
    let alarms = false_alarms(200, |seed| random(40, seed, |_, draw| draw.noise()));
    assert!(alarms.len() <= allowed(200), "{alarms:#?}");
}

#[test]
fn adaptive_searches_of_noise_get_false_sentences_at_most_at_the_stated_level() {
    let alarms = false_alarms(200, |seed| adaptive(50, seed, |_, draw| draw.noise()));
    assert!(alarms.len() <= allowed(200), "{alarms:#?}");
}

#[test]
fn idle_parameters_of_an_adaptive_search_are_rarely_taken_for_important_ones() {
    let studies = 60;
    let alarmed = (0..studies).filter(|seed| {
        let demo = adaptive(60, *seed, |unit, draw| {
            10.0 * (unit[0] - 0.6).powi(2) + 0.3 * draw.noise()
        });
        let insights = insights(&demo);
        let important = of(&insights, Subject::Importance);
        let names = important
            .iter()
            .flat_map(|it| it.numbers["parameters"].as_array().unwrap());
        let is_false = |it: &Insight| it.numbers["parameter"] != "lr";
        let ends = of(&insights, Subject::RangeEnd);
        names.clone().any(|name| name["name"] != "lr")
            || ends.into_iter().any(is_false)
            || !of(&insights, Subject::Choice).is_empty()
    });
    let alarms = alarmed.count();
    assert!(alarms <= allowed(studies), "{alarms} of {studies}");
}

#[test]
fn replicated_noise_has_no_leader() {
    let alarms = false_alarms(200, |seed| {
        let mut demo = study(loss(), 36);
        edit(&mut demo, |header| header.replicate = Some(3));
        let mut draw = Draw::new(seed);
        for _ in 0..12 {
            let unit = params(&draw.unit());
            let first = demo.complete(&unit, &[("val_loss", draw.noise())]);
            for _ in 0..2 {
                let seed = demo.start_from(&unit, Origin::Replicate(first));
                demo.report(seed, &[("val_loss", draw.noise())]);
                demo.end(seed, Exit::Done);
            }
        }
        demo
    });
    assert!(alarms.len() <= allowed(200), "{alarms:#?}");
}

#[test]
fn the_parameter_that_decides_is_named_with_the_region_of_the_best() {
    let demo = random(60, 1, |unit, draw| {
        (unit[0] - 0.5).powi(2) + 0.01 * draw.noise()
    });
    let insights = insights(&demo);
    let insight = only(&insights, Subject::Importance);
    let parameters = insight.numbers["parameters"].as_array().unwrap();
    assert_eq!(parameters.len(), 1, "{}", insight.text);
    assert_eq!(parameters[0]["name"], "lr");
    assert!(
        parameters[0]["share"].as_f64().unwrap() > 0.8,
        "{}",
        insight.text
    );
    // The optimum is at 1e-3.
    let region = parameters[0]["best"].as_array().unwrap();
    let [low, high] = [0, 1].map(|at| region[at].as_f64().unwrap());
    assert!(
        2e-4 < low && low < 1e-3 && 1e-3 < high && high < 5e-3,
        "{}",
        insight.text
    );
    assert!(
        insight.text.starts_with("`lr` matters: it explains "),
        "{}",
        insight.text
    );
    assert_eq!(insight.chart, "importance");
}

#[test]
fn the_best_trials_at_the_end_of_a_range_are_counted_for_both_goals() {
    for goal in [Goal::Min, Goal::Max] {
        let mut demo = study(vec![objective("m", goal)], 100);
        let mut draw = Draw::new(2);
        let mut scored = Vec::new();
        for _ in 0..100 {
            let unit = draw.unit();
            let value = unit[0] + 0.005 * draw.noise();
            let value = if goal == Goal::Min { value } else { -value };
            demo.complete(&params(&unit), &[("m", value)]);
            scored.push((unit[0], value.abs() * value.signum()));
        }
        let insights = insights(&demo);
        let insight = only(&insights, Subject::RangeEnd);
        scored.sort_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
        let hits = scored[..10].iter().filter(|(unit, _)| *unit <= 0.2).count();
        assert_eq!(insight.numbers["parameter"], "lr");
        assert_eq!(
            (&insight.numbers["end"], &insight.numbers["widen"]),
            (&"low".into(), &true.into())
        );
        assert!(
            insight.numbers["hits"].as_u64().unwrap() as usize <= hits,
            "{}",
            insight.text
        );
        assert!(
            insight.text.contains("10 best lie in the lowest"),
            "{}",
            insight.text
        );
        assert!(insight.text.contains("widen the range"), "{}", insight.text);
        assert_eq!(insight.trials.len(), 10);
    }
}

#[test]
fn a_sampler_that_moved_to_the_end_of_a_range_does_not_hide_it() {
    let demo = adaptive(120, 5, |unit, draw| unit[0] + 0.05 * draw.noise());
    let insights = insights(&demo);
    let insight = only(&insights, Subject::RangeEnd);
    assert_eq!(insight.numbers["parameter"], "lr", "{}", insight.text);
}

#[test]
fn the_lead_of_a_choice_is_that_of_its_effect() {
    let mut inside = 0;
    for seed in 0..40 {
        let demo = random(60, seed, |unit, draw| {
            let effect = if unit[3] < 1.0 / 3.0 { 0.0 } else { 0.12 };
            effect + 0.3 * unit[0] + 0.02 * draw.noise()
        });
        let insights = insights(&demo);
        for insight in of(&insights, Subject::Choice) {
            assert_eq!(insight.numbers["better"], "adam", "{}", insight.text);
            assert!(
                insight.text.contains("`optimizer`: adam beats"),
                "{}",
                insight.text
            );
            let [low, high] = ["low", "high"].map(|name| insight.numbers[name].as_f64().unwrap());
            inside += usize::from(low <= 0.12 && 0.12 <= high);
        }
        assert_eq!(of(&insights, Subject::Choice).len(), 2, "{seed}");
    }
    assert!(inside >= 72, "{inside} of 80");
}

#[test]
fn failures_are_explained_by_what_their_trials_have_in_common() {
    let mut demo = study(loss(), 48);
    let mut draw = Draw::new(4);
    let error = || "CUDA out of memory".to_owned();
    let mut failed = Vec::new();
    for trial in 0..48 {
        let unit = draw.unit();
        let id = demo.start(&params(&unit));
        let ended = Box::new(Failure::Code(1));
        if unit[2] * 6.0 >= 5.0 {
            demo.end(
                id,
                Exit::Failed(Failure::Raised {
                    error: error(),
                    ended,
                }),
            );
            failed.push(id.0);
        } else if trial == 7 {
            demo.end(id, Exit::Failed(Failure::Signal(9)));
        } else {
            demo.report(id, &[("val_loss", draw.noise())]);
            demo.end(id, Exit::Done);
        }
    }
    let insights = insights(&demo);
    let failures = of(&insights, Subject::Failures);
    assert_eq!(failures.len(), 2);
    let first = failures[0];
    let count = failed.len();
    let start = format!(
        "{count} of {} failures: CUDA out of memory (exit status 1), all with `layers` ≥ 6 ({count} of the \
         {count} trials with it, 0 of the {} without it).",
        count + 1,
        48 - count
    );
    assert_eq!(first.text, start);
    assert_eq!(first.trials, failed);
    assert!(
        !failures[1].numbers.contains_key("rule"),
        "{}",
        failures[1].text
    );
}

#[test]
fn failures_by_chance_have_nothing_in_common() {
    let alarms = false_alarms(200, |seed| {
        let mut demo = study(loss(), 30);
        let mut draw = Draw::new(seed);
        for _ in 0..30 {
            let id = demo.start(&params(&draw.unit()));
            let failure = match draw.0.random_range(0..10) {
                0 => Failure::Code(1),
                1 => Failure::Memory,
                _ => {
                    demo.report(id, &[("val_loss", draw.noise())]);
                    demo.end(id, Exit::Done);
                    continue;
                }
            };
            demo.end(id, Exit::Failed(failure));
        }
        demo
    });
    assert!(alarms.len() <= allowed(200), "{alarms:#?}");
}

#[test]
fn a_leader_between_seeds_is_told_from_one_by_chance() {
    for (gap, leads) in [(1.0, true), (0.02, false)] {
        let mut demo = study(loss(), 40);
        edit(&mut demo, |header| header.replicate = Some(4));
        let mut draw = Draw::new(6);
        for configuration in 0..10 {
            let unit = params(&draw.unit());
            let level = if configuration == 3 {
                1.0 - gap
            } else {
                1.0 + 0.1 * f64::from(configuration)
            };
            let first = demo.start(&unit);
            for seed in 0..4 {
                let id = if seed == 0 {
                    first
                } else {
                    demo.start_from(&unit, Origin::Replicate(first))
                };
                demo.report(id, &[("val_loss", level + 0.05 * draw.noise())]);
                demo.end(id, Exit::Done);
            }
        }
        let insights = insights(&demo);
        let best = only(&insights, Subject::Best);
        assert_eq!(best.numbers["more_than_noise"], leads, "{}", best.text);
        assert_eq!(best.numbers["noise_from"], "seeds");
        // The trials that count for the mean of the fourth configuration begin at 13.
        if leads {
            assert_eq!(best.numbers["trial"], 13);
            assert!(
                best.text.contains("more than the noise of"),
                "{}",
                best.text
            );
        } else {
            assert!(
                best.text.contains("its lead may be chance"),
                "{}",
                best.text
            );
        }
        // The margin of two means of four seeds at 99 % with 30 degrees of freedom is 2.75 s / √2.
        let margin = best.numbers["noise"].as_f64().unwrap();
        assert!(
            (margin / (0.05 * 2.75 / 2f64.sqrt()) - 1.0).abs() < 0.3,
            "{margin}"
        );
    }
}

/// Thirty trials of a scheduler that continues the better third at epochs 1 and 3.
fn halving(seed: u64) -> Demo {
    let mut demo = study(loss(), 30);
    edit(&mut demo, |header| header.resource = Some("epoch".into()));
    let mut draw = Draw::new(seed);
    let trials: Vec<(TrialId, f64)> = (0..30)
        .map(|_| {
            let unit = draw.unit();
            (demo.start(&params(&unit)), (unit[0] - 0.5).powi(2))
        })
        .collect();
    let mut order: Vec<usize> = (0..30).collect();
    order.sort_by(|a, b| trials[*a].1.total_cmp(&trials[*b].1));
    for (rank, index) in order.into_iter().enumerate() {
        let (trial, value) = trials[index];
        let last = if rank < 3 {
            9
        } else if rank < 10 {
            3
        } else {
            1
        };
        for epoch in 1..=last {
            let epoch = f64::from(epoch);
            demo.report(
                trial,
                &[("epoch", epoch), ("val_loss", value + 1.0 / epoch)],
            );
        }
        let verdict = if last == 9 {
            Verdict::Complete
        } else {
            Verdict::Pause
        };
        demo.event(Event::Judged {
            trial,
            verdict,
            why: String::new(),
        });
        demo.end(trial, if last == 9 { Exit::Done } else { Exit::Paused });
    }
    demo
}

#[test]
fn a_loss_that_was_never_negative_is_not_expected_to_pass_zero() {
    // Losses over three powers of ten, as of searches in which some trials diverge.
    let demo = random(30, 3, |unit, draw| {
        (7.0 * (unit[0] - 0.4).abs() + 0.05 * draw.noise() - 4.0).exp()
    });
    let best = demo.study.best(1)[0];
    let best = best.objective(&demo.study.header().objectives[0]).unwrap();
    for gain in of(&insights(&demo), Subject::Gain) {
        let numbers = ["low", "mean", "high"].map(|name| gain.numbers["gain"][name].as_f64());
        assert!(
            numbers.iter().all(|it| it.unwrap() <= best),
            "{}",
            gain.text
        );
        let left = gain.numbers["left"]["mean"].as_f64().unwrap();
        assert!(left <= best, "{}", gain.text);
    }
}

#[test]
fn paused_trials_are_compared_at_the_rung_that_all_of_them_reached() {
    let demo = halving(7);
    let insights = insights(&demo);
    let best = of(&insights, Subject::Best);
    let incumbent = demo.study.incumbent().unwrap().id;
    assert!(
        best[0]
            .text
            .starts_with(&format!("Trial {incumbent} is best: val_loss "))
            && best[1].text.contains(" leads at epoch 1: val_loss "),
        "{} {}",
        best[0].text,
        best[1].text
    );
    let importance = only(&insights, Subject::Importance);
    assert_eq!(importance.numbers["rung"], 1.0, "{}", importance.text);
    assert_eq!(importance.numbers["trials"], 30);
    assert_eq!(importance.numbers["parameters"][0]["name"], "lr");
    assert!(
        importance.text.contains("at epoch 1"),
        "{}",
        importance.text
    );
    let saved = only(&insights, Subject::Saved);
    // 3 trials ran 9 epochs, 7 ran 3 and 20 ran 1: 68 of 270.
    assert_eq!(
        (&saved.numbers["steps_run"], &saved.numbers["steps_saved"]),
        (&68.0.into(), &202.0.into())
    );
    assert_eq!(
        (&saved.numbers["trials"], &saved.numbers["paused"]),
        (&27.into(), &27.into())
    );
    assert!(
        saved
            .text
            .starts_with("The scheduler saved 75 % of the work"),
        "{}",
        saved.text
    );
    assert!(
        saved
            .caution
            .as_deref()
            .unwrap()
            .contains("27 trials may still be continued")
    );
}

#[test]
fn the_interval_of_the_rest_of_a_run_contains_its_length() {
    let (mut inside, rounds) = (0, 60);
    for seed in 0..rounds {
        let mut demo = study(loss(), 60);
        let mut draw = Draw::new(seed);
        let mut lengths: Vec<f64> = (0..60)
            .map(|_| (10.0 * (0.5 * draw.noise()).exp()).ceil())
            .collect();
        for _ in 0..15 {
            let trial = demo.start(&params(&draw.unit()));
            // Each event is a second after the last one.
            let length = lengths.pop().unwrap() as usize;
            for _ in 0..length {
                demo.report(trial, &[("val_loss", 1.0)]);
            }
            demo.end(trial, Exit::Done);
        }
        let insights = insights_in(&demo, &space(SPACE), true);
        let remaining = only(&insights, Subject::Remaining);
        assert_eq!(
            (&remaining.numbers["trials"], &remaining.numbers["slots"]),
            (&45.into(), &1.into())
        );
        let [low, high] = ["low", "high"].map(|name| remaining.numbers[name].as_f64().unwrap());
        let actual: f64 = lengths.iter().map(|length| length + 1.0).sum();
        inside += usize::from(low <= actual && actual <= high);
    }
    assert!(
        inside * 10 >= rounds as usize * 9 - 10,
        "{inside} of {rounds}"
    );
}

#[test]
fn nothing_is_said_of_the_rest_when_no_run_is_active() {
    let demo = random(20, 8, |unit, _| unit[0]);
    assert!(of(&insights(&demo), Subject::Remaining).is_empty());
}

#[test]
fn values_ends_and_trials_that_were_not_tried_are_named() {
    let mut demo = study(loss(), 40);
    let mut draw = Draw::new(9);
    for _ in 0..30 {
        let mut unit = draw.unit();
        (unit[0], unit[3]) = (0.5 * unit[0], 0.6 * unit[3]);
        demo.complete(&params(&unit), &[("val_loss", draw.noise())]);
    }
    let insights = insights_in(
        &demo,
        &space(&format!(
            "{SPACE}warmup = {{ min = 1, max = 9, when = \"lr > 1\" }}"
        )),
        false,
    );
    let untried: Vec<&str> = of(&insights, Subject::Untried)
        .iter()
        .map(|it| it.text.as_str())
        .collect();
    assert_eq!(
        untried[0],
        "10 trials of the 40 that the sweep file asks for were not started."
    );
    assert!(
        untried[1].starts_with("`lr`: no trial has a value above "),
        "{untried:?}"
    );
    assert_eq!(
        untried[2],
        "`optimizer`: 1 of 3 values was never tried: rmsprop."
    );
    assert_eq!(untried.len(), 3);
}

#[test]
fn constraints_come_before_the_objective() {
    let mut demo = study(loss(), 20);
    edit(&mut demo, |header| {
        header.limits = vec![Limit {
            metric: "latency".into(),
            min: None,
            max: Some(20.0),
        }];
    });
    let mut draw = Draw::new(10);
    for trial in 0..20 {
        let latency = if trial < 4 { 10.0 } else { 40.0 };
        let value = if trial < 4 {
            1.0 + f64::from(trial)
        } else {
            0.1
        };
        demo.complete(
            &params(&draw.unit()),
            &[("val_loss", value), ("latency", latency)],
        );
    }
    let insights = insights(&demo);
    let best = only(&insights, Subject::Best);
    assert_eq!(best.numbers["trial"], 1, "{}", best.text);
    let start = "Trial 1 is best of the 4 trials that satisfy the outcome constraints: val_loss 1 ";
    assert!(best.text.starts_with(start), "{}", best.text);
}

#[test]
fn each_of_several_objectives_has_its_own_sentences() {
    let objectives = vec![
        objective("val_loss", Goal::Min),
        objective("speed", Goal::Max),
    ];
    let mut demo = study(objectives, 60);
    let mut draw = Draw::new(11);
    for _ in 0..60 {
        let unit = draw.unit();
        let speed = 5.0 * unit[1] + 0.05 * draw.noise();
        let loss = (unit[0] - 0.5).powi(2) + 0.005 * draw.noise();
        demo.complete(&params(&unit), &[("val_loss", loss), ("speed", speed)]);
    }
    let insights = insights(&demo);
    let important: Vec<_> = of(&insights, Subject::Importance)
        .iter()
        .map(|it| {
            (
                it.numbers["metric"].clone(),
                it.numbers["parameters"][0]["name"].clone(),
            )
        })
        .collect();
    assert_eq!(
        important,
        [
            ("val_loss".into(), "lr".into()),
            ("speed".into(), "momentum".into())
        ]
    );
    let best = of(&insights, Subject::Best);
    assert_eq!(best.len(), 3);
    assert_eq!(best[2].chart, "pareto");
    assert!(of(&insights, Subject::Gain).is_empty());
}

#[test]
fn the_gain_of_further_trials_is_given_where_a_model_carries_it() {
    let demo = random(60, 12, |unit, draw| {
        (unit[0] - 0.3).powi(2) + (unit[1] - 0.7).powi(2) + 0.01 * draw.noise()
    });
    let insights = insights(&demo);
    let gain = only(&insights, Subject::Gain);
    assert!(
        gain.text
            .starts_with("Another 50 trials are expected to improve val_loss by "),
        "{}",
        gain.text
    );
    let mean = gain.numbers["gain"]["mean"].as_f64().unwrap();
    assert!(
        mean < 0.05 && mean <= gain.numbers["bound"].as_f64().unwrap(),
        "{}",
        gain.text
    );
    assert!(gain.caution.is_some());
    let best = only(&insights, Subject::Best);
    assert_eq!(best.numbers["noise_from"], "model", "{}", best.text);
    // The margin at 99 % is 2.75 × √2 of the deviation of 0.01, which the model overestimates.
    let margin = best.numbers["noise"].as_f64().unwrap() / (0.01 * 2.75 * 2f64.sqrt());
    assert!((0.7..3.0).contains(&margin), "{}", best.text);
}

#[test]
fn small_and_empty_studies_have_no_claims() {
    let empty = study(loss(), 0);
    assert!(insights(&empty).is_empty());
    for trials in 1..12 {
        let demo = random(trials, trials, |unit, _| unit[0]);
        let insights = insights(&demo);
        assert!(!insights.iter().any(claims), "{insights:#?}");
    }
    let take = Objective {
        take: Take::Last,
        ..objective("val_loss", Goal::Min)
    };
    let mut failed = study(vec![take], 3);
    for _ in 0..3 {
        let trial = failed.start(&params(&[0.1, 0.1, 0.1, 0.1]));
        failed.end(trial, Exit::Failed(Failure::Code(1)));
    }
    let insights = insights(&failed);
    assert_eq!(
        only(&insights, Subject::Failures).text,
        "3 of 3 trials failed: exit status 1."
    );
}
