//! Benchmarks the time of one proposal, by sampler and number of trials: `cargo bench --bench
//! suggest`.
//!
//! The space has ten parameters. The time in which a sampler learns from finished trials is not
//! included; `regret` prints the sum of both.

#[path = "search/play.rs"]
mod play;

use criterion::{Criterion, criterion_group, criterion_main};
use play::{Game, space};

fn suggest(c: &mut Criterion) {
    let text: String = (0..10)
        .map(|at| format!("x{at} = {{ min = -5.0, max = 5.0 }}\n"))
        .collect();
    for (name, sizes) in [
        ("random", &[100, 10_000][..]),
        ("sobol", &[100, 10_000]),
        ("tpe", &[100, 1_000, 10_000]),
        ("cmaes", &[100, 10_000]),
        ("nsga2", &[100, 10_000]),
        ("gp", &[100, 500]),
        ("auto", &[100, 500]),
    ] {
        for &trials in sizes {
            // Random search supplies the history, since it takes no time.
            let mut history =
                Game::new("random", space(&text), 1, 1, trials).expect("random is a sampler");
            let mut game = Game::new(name, space(&text), 1, 1, trials)
                .expect("the sampler is in the registry");
            for _ in 0..trials {
                let params = history.ask().expect("random always proposes");
                let value = params
                    .iter()
                    .filter_map(|(_, x)| x.as_f64())
                    .map(|x| (x - 1.0) * (x - 1.0))
                    .sum();
                for game in [&mut history, &mut game] {
                    let trial = game.start(params.clone());
                    game.tell(trial, &[value]);
                }
            }
            c.bench_function(&format!("{name}/{trials}"), |b| b.iter(|| game.ask()));
        }
    }
}

criterion_group!(benches, suggest);
criterion_main!(benches);
