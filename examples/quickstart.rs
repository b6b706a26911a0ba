//! A Rust function as the trainable: the same study, the same files, no other process.
//!
//! ```console
//! $ cargo run --release --example quickstart
//! ```

#![expect(clippy::print_stdout, reason = "a program that talks to the person who runs it")]

/// The sweep; a file read with `Sweep::read` does as well.
const SWEEP: &str = r#"
name = "valley"

[objective]
metric = "loss"
goal = "min"
take = "last"

[search]
sampler = "random"
trials = 200

[space]
lr = { min = 1e-6, max = 1e-2, log = true }
momentum = { min = 0.0, max = 0.99 }
"#;

/// Follows the gradient of Rosenbrock's function from (-1.5, 2) for 500 steps; returns the value every 50 steps.
fn descend(lr: f64, momentum: f64) -> impl Iterator<Item = f64> {
    let (mut x, mut y, mut vx, mut vy) = (-1.5_f64, 2.0_f64, 0.0, 0.0);
    (0..10).map(move |_| {
        for _ in 0..50 {
            vx = momentum * vx - lr * (-2.0 * (1.0 - x) - 400.0 * x * (y - x * x));
            vy = momentum * vy - lr * 200.0 * (y - x * x);
            (x, y) = (x + vx, y + vy);
        }
        (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2)
    })
}

fn main() {
    // TODO: through the library, once `swath::run` takes a closure:
    //
    // let sweep = Sweep::parse(Source::new("valley.toml", SWEEP))?;
    // swath::run(&sweep, |trial, log| {
    //     let (lr, momentum) = (trial.number("lr")?, trial.number("momentum")?);
    //     for (round, loss) in descend(lr, momentum).enumerate() {
    //         log.report(&[("round", round as f64), ("loss", loss)])?;
    //     }
    //     Ok(())
    // })?;
    println!("{}", SWEEP.trim());
    for loss in descend(1e-4, 0.9) {
        println!("{loss:.6}");
    }
}
