//! NSGA-II: a genetic algorithm for several objectives, many trials and any space.
//!
//! Deb et al., IEEE TEC 6(2), 2002, in its steady-state form: the population is the best of all
//! trials so far. It needs no generations, so any number of slots can ask at any time. Numbers use
//! simulated binary crossover and polynomial mutation (Deb & Agrawal, 1995). A choice is inherited
//! from either parent or drawn anew.

use super::archive::Archive;
use super::history::History;
use super::initial_design::InitialDesign;
use super::{Ask, Sampler};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use swath_model::source::{Opt, Preset, Takes};
use swath_model::space::{AxisKind, Params};
use swath_model::study::{Event, Kind, Study};

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "nsga2",
    about: "a genetic algorithm: several objectives, many trials",
    paper: Some(
        "Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE TEC 6(2), 2002",
    ),
    options: OPTIONS,
    capabilities: &[],
    build: |mut section, setting, diagnostics| {
        let size = section
            .take_count("population", LEAST, diagnostics)
            .map(|(size, _)| size as usize);
        let size = size.unwrap_or((setting.trials.unwrap_or(400) as usize / 16).clamp(12, 50));
        Some(Box::new(Nsga2 {
            history: History::new(setting),
            design: InitialDesign::new(setting, size),
            population: Population::new(size),
        }))
    },
};

/// Minimum size of the population.
const LEAST: u64 = 4;

const OPTIONS: &[Opt] = &[Opt::new(
    "population",
    Takes::Count(LEAST),
    Preset::Derived("`trials` / 16, from 12 to 50"),
    "number of the best trials that serve as parents",
)];

/// The NSGA-II sampler.
struct Nsga2 {
    history: History,
    design: InitialDesign,
    population: Population,
}

impl Sampler for Nsga2 {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.design.observe(&self.history, event);
        self.history.observe(study, event);
        self.population.observe(&self.history, event);
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        self.design
            .suggest(&self.history)
            .or_else(|| self.population.propose(&self.history, ask))
    }
}

/// The population: the best trials so far, best first.
pub(super) struct Population(Archive);

impl Population {
    /// Creates an empty population of at most `size` trials.
    pub(super) fn new(size: usize) -> Self {
        Self(Archive::new(size))
    }

    /// Updates the population from an event. Must be called after `history` has observed the same
    /// event.
    pub(super) fn observe(&mut self, history: &History, event: &Event) {
        self.0.observe(history, event);
    }

    /// Returns the configuration of a child that may be tried. After 100 refused children, returns
    /// a random configuration.
    pub(super) fn propose(&self, history: &History, ask: &Ask<'_>) -> Option<Params> {
        let mut rng = ask.rng();
        let bred = (0..100).find_map(|_| history.untried(&self.breed(history, &mut rng)));
        bred.or_else(|| {
            ask.draw_unseen(&history.seen, || {
                (0..history.dims()).map(|_| rng.random()).collect()
            })
        })
    }

    /// Returns the point of a child of two parents; a random point while the population is empty.
    fn breed(&self, history: &History, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let d = history.dims();
        let rows = self.0.rows();
        if rows.is_empty() {
            return (0..d).map(|_| rng.random()).collect();
        }
        let mother = &history.row(tournament(rows, rng)).unit;
        let father = &history.row(tournament(rows, rng)).unit;
        child(history.kinds(), mother, father, rng)
    }
}

/// Returns the better of two rows drawn at random. The rows are in order, best first.
fn tournament(rows: &[u32], rng: &mut ChaCha8Rng) -> u32 {
    let first = rng.random_range(0..rows.len());
    let second = rng.random_range(0..rows.len());
    rows[first.min(second)]
}

/// Returns a child of two parents: crossover with probability 0.9, then mutation of each coordinate
/// with probability 1/d.
fn child<'a>(
    kinds: impl Iterator<Item = &'a AxisKind>,
    mother: &[f64],
    father: &[f64],
    rng: &mut ChaCha8Rng,
) -> Vec<f64> {
    let cross = rng.random::<f64>() < 0.9;
    let rate = 1.0 / mother.len().max(1) as f64;
    kinds
        .zip(mother.iter().zip(father))
        .map(|(kind, (a, b))| child_coordinate(kind, *a, *b, cross, rate, rng))
        .collect()
}

/// Returns one coordinate of a child of parents at `a` and `b`.
fn child_coordinate(
    kind: &AxisKind,
    a: f64,
    b: f64,
    cross: bool,
    rate: f64,
    rng: &mut ChaCha8Rng,
) -> f64 {
    let (near, far) = if cross && rng.random::<f64>() < 0.5 {
        (b, a)
    } else {
        (a, b)
    };
    let mutate = rng.random::<f64>() < rate;
    if matches!(kind, AxisKind::Choice(_)) {
        return if mutate { rng.random() } else { near };
    }
    let x = if cross {
        blend(near, far, rng.random())
    } else {
        near
    };
    (if mutate { x + shift(rng.random()) } else { x }).clamp(0.0, 1.0)
}

/// Returns one child coordinate of simulated binary crossover with index 5, the one nearer to `a`.
/// `u` is uniform in [0, 1).
fn blend(a: f64, b: f64, u: f64) -> f64 {
    let spread = if u < 0.5 {
        libm::pow(2.0 * u, 1.0 / 6.0)
    } else {
        libm::pow(1.0 / (2.0 * (1.0 - u)).max(1e-9), 1.0 / 6.0)
    };
    0.5 * ((1.0 + spread) * a + (1.0 - spread) * b)
}

/// Returns the displacement of polynomial mutation with index 20, from −1 to 1. `u` is uniform in
/// [0, 1).
fn shift(u: f64) -> f64 {
    if u < 0.5 {
        libm::pow(2.0 * u, 1.0 / 21.0) - 1.0
    } else {
        1.0 - libm::pow(2.0 * (1.0 - u), 1.0 / 21.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_numerics::stream::{Purpose, stream};

    #[test]
    fn a_child_has_something_of_both_parents() {
        let mut rng = stream(3, Purpose::Suggest, 0);
        let kinds = vec![AxisKind::Real; 10];
        let (mother, father) = (vec![0.2; 10], vec![0.8; 10]);
        let mixed = (0..200).filter(|_| {
            let child = child(kinds.iter(), &mother, &father, &mut rng);
            let like_father = child.iter().filter(|x| **x > 0.5).count();
            (1..10).contains(&like_father)
        });
        let mixed = mixed.count();
        assert!((160..=198).contains(&mixed), "{mixed}");
    }
}
