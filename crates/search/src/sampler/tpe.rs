//! The tree-structured Parzen estimator: proposes points where good trials are dense and bad trials
//! are not.
//!
//! Bergstra et al., *Algorithms for Hyper-Parameter Optimization*, NeurIPS 2011; multivariate, with
//! the components that S. Watanabe, *Tree-structured Parzen estimator: understanding its algorithm
//! components*, 2023 (arXiv 2304.11127) found to matter. `split.rs` decides which trials are good,
//! for one objective and for several. Pending and failed trials count as bad, so that parallel
//! slots spread out. The cost of a density does not grow with the number of trials: at most
//! [`BAD_KERNELS`] of the bad ones have a kernel, the latest ones and an even sample of the rest.

use super::history::History;
use super::initial_design::InitialDesign;
use super::parzen::{Centre, Parzen, Width};
use super::perturbation::perturb;
use super::split::{self, WeightedRow};
use super::{Ask, Sampler};
use rand::RngExt;
use swath_model::space::Params;
use swath_model::study::{Event, Kind, Study};

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "tpe",
    about: "tree-structured Parzen estimator: any space, many trials, many slots",
    paper: Some(
        "Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; \
         Watanabe, arXiv 2304.11127, 2023",
    ),
    options: &[],
    capabilities: &[],
    build: |_, setting, _| {
        Some(Box::new(Tpe {
            history: History::new(setting),
            design: InitialDesign::new(setting, 10),
        }))
    },
};

/// Maximum number of kernels in the density of bad trials.
const BAD_KERNELS: usize = 320;
/// The kernel width: narrower than Scott's rule with 0.2. Chosen on the noise-free tasks of
/// `benches/search`; tasks with noise may need a wider one.
const WIDTH: Width = Width {
    scale: 0.06,
    floor: 0.03,
};
/// The weight of the prior, where one trial has weight 1.
const PRIOR: f64 = 0.5;
/// Number of candidates drawn from the density of good trials.
const DRAWN: usize = 96;
/// Number of candidates drawn around the best trials.
const LOCAL: usize = 32;

/// The Parzen sampler.
struct Tpe {
    history: History,
    design: InitialDesign,
}

impl Sampler for Tpe {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.design.observe(&self.history, event);
        self.history.observe(study, event);
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        if let Some(params) = self.design.suggest(&self.history) {
            return Some(params);
        }
        propose(&self.history, ask)
    }
}

/// Returns the untried candidate with the largest ratio of good to bad density. If none of the
/// candidates is admissible, returns a random configuration.
pub(super) fn propose(history: &History, ask: &Ask<'_>) -> Option<Params> {
    let mut rng = ask.rng();
    let (good, bad) = good_and_bad(history);
    // A front has no single best trial, so all good rows serve as centres for local candidates.
    let around = if history.objectives.len() > 1 {
        good.len()
    } else {
        4.min(good.len())
    };
    let (likely, unlikely) = (mixture(history, &good), mixture(history, &bad));
    let mut scratch = Vec::new();
    let mut candidates: Vec<(f64, Vec<f64>)> = (0..DRAWN + LOCAL)
        .map(|at| {
            let mut unit = match good.get(at % around.max(1)) {
                Some((row, _)) if at >= DRAWN => perturb(&history.row(*row).unit, &mut rng),
                _ => likely.draw(&mut rng),
            };
            let active = history.snap(&mut unit);
            let ratio = likely.ln_density(&unit, &active, &mut scratch)
                - unlikely.ln_density(&unit, &active, &mut scratch);
            (ratio, unit)
        })
        .collect();
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    candidates
        .iter()
        .find_map(|(_, unit)| history.untried(unit))
        .or_else(|| {
            ask.draw_unseen(&history.seen, || {
                (0..history.dims()).map(|_| rng.random()).collect()
            })
        })
}

/// Returns the good and the bad rows with their weights. Failed and pending rows are bad.
fn good_and_bad(history: &History) -> (Vec<WeightedRow>, Vec<WeightedRow>) {
    let (good, mut bad) = split::split_scored(history);
    bad.extend(history.failed().iter().copied().chain(history.pending()));
    (good, subsample(&mut bad))
}

/// Selects at most [`BAD_KERNELS`] rows: the latest half and an even sample of the older ones. Each
/// sampled row has the weight of the rows it stands for.
fn subsample(rows: &mut [u32]) -> Vec<WeightedRow> {
    if rows.len() <= BAD_KERNELS {
        return rows.iter().map(|row| (*row, 1.0)).collect();
    }
    let split = rows.len() - BAD_KERNELS / 2;
    rows.select_nth_unstable(split);
    let (older, latest) = rows.split_at_mut(split);
    older.sort_unstable();
    latest.sort_unstable();
    let sampled = BAD_KERNELS / 2;
    let share = older.len() as f64 / sampled as f64;
    let sample = (0..sampled).map(|at| (older[(at as f64 * share) as usize], share));
    sample.chain(latest.iter().map(|row| (*row, 1.0))).collect()
}

/// Returns the density estimated from weighted rows.
fn mixture(history: &History, rows: &[WeightedRow]) -> Parzen {
    let centres: Vec<_> = rows
        .iter()
        .map(|(row, weight)| {
            let row = history.row(*row);
            Centre {
                unit: &row.unit,
                active: &row.active,
                weight: *weight,
            }
        })
        .collect();
    Parzen::new(history.kinds(), &centres, PRIOR, WIDTH)
}
