//! The tree-structured Parzen estimator: proposes points where good trials are dense and bad trials
//! are not.
//!
//! Bergstra et al., *Algorithms for Hyper-Parameter Optimization*, NeurIPS 2011; multivariate, with
//! the components that S. Watanabe, *Tree-structured Parzen estimator: understanding its algorithm
//! components*, 2023 (arXiv 2304.11127) found to matter. `split.rs` decides which trials are good,
//! for one objective and for several. Pending and failed trials count as bad, so that parallel
//! slots spread out; a pending trial does so in its numbers only, since each choice would otherwise
//! be avoided as long as one of its trials runs. The cost of a density does not grow with the number of trials: at most
//! [`BAD_KERNELS`] of the bad ones have a kernel, the latest ones and an even sample of the rest.

use super::history::{History, Outcome, Row};
use super::initial_design::InitialDesign;
use super::parzen::{Centre, Parzen, Width};
use super::perturbation::perturb;
use super::split::{self, WeightedRow};
use super::{Ask, Sampler};
use rand::RngExt;
use std::borrow::Cow;
use swath_model::space::{AxisKind, Params};
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
    let mut candidates: Vec<Candidate> = (0..DRAWN + LOCAL)
        .map(|at| {
            let mut unit = match good.get(at % around.max(1)) {
                Some((row, _)) if at >= DRAWN => perturb(&history.row(*row).unit, &mut rng),
                _ => likely.draw(&mut rng),
            };
            let active = history.snap(&mut unit);
            Candidate {
                ln_good: likely.ln_density(&unit, &active, &mut scratch),
                unit,
                active,
            }
        })
        .collect();
    candidates.sort_by(|a, b| b.ln_good.total_cmp(&a.ln_good));
    best_untried(history, &candidates, &unlikely).or_else(|| {
        ask.draw_unseen(&history.seen, || {
            (0..history.dims()).map(|_| rng.random()).collect()
        })
    })
}

/// A point that may be proposed.
struct Candidate {
    /// The logarithm of the density of good trials.
    ln_good: f64,
    unit: Vec<f64>,
    active: Box<[bool]>,
}

/// Returns the untried candidate with the largest ratio of good to bad density. The candidates are
/// sorted by good density. No bad density is below the prior's share of it, so that most of the bad
/// densities, which take most of the time, are not needed.
fn best_untried(history: &History, candidates: &[Candidate], bad: &Parzen) -> Option<Params> {
    let mut scratch = Vec::new();
    let mut best: Option<(f64, Params)> = None;
    for candidate in candidates {
        let largest = best.as_ref().map_or(f64::NEG_INFINITY, |(ratio, _)| *ratio);
        if candidate.ln_good - bad.ln_prior() < largest {
            break;
        }
        let ln_bad = bad.ln_density(&candidate.unit, &candidate.active, &mut scratch);
        let ratio = candidate.ln_good - ln_bad;
        if ratio > largest
            && let Some(params) = history.untried(&candidate.unit)
        {
            best = Some((ratio, params));
        }
    }
    best.map(|(_, params)| params)
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
    let active: Vec<Cow<'_, [bool]>> = rows
        .iter()
        .map(|(row, _)| telling_axes(history, history.row(*row)))
        .collect();
    let centres: Vec<_> = rows
        .iter()
        .zip(&active)
        .map(|((row, weight), active)| Centre {
            unit: &history.row(*row).unit,
            active,
            weight: *weight,
        })
        .collect();
    Parzen::new(history.kinds(), &centres, PRIOR, WIDTH)
}

/// Returns the axes along which a row has a kernel: all active ones, but no choices of a pending
/// trial.
fn telling_axes<'h>(history: &'h History, row: &'h Row) -> Cow<'h, [bool]> {
    if row.outcome != Outcome::Pending {
        return Cow::Borrowed(&row.active);
    }
    let axes = history.kinds().zip(&row.active);
    axes.map(|(kind, is_active)| *is_active && !matches!(kind, AxisKind::Choice(_)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use swath_model::demo::{Demo, objective};
    use swath_model::source::{Diagnostics, Section, Table};
    use swath_model::space::{Space, Value};
    use swath_model::study::{Goal, Setting};

    /// Returns the history of a study over a choice and a number.
    fn history_of(demo: &Demo) -> History {
        let mut diagnostics = Diagnostics::default();
        let text = "kind = [\"a\", \"b\"]\nx = { min = 0.0, max = 1.0 }\n";
        let section = Section::new("space", 0..0, Table::parse(text, &mut diagnostics));
        let space = Arc::new(Space::parse(section, None, &mut diagnostics).unwrap());
        let mut history = History::new(&Setting {
            space,
            objectives: demo.study.header().objectives.clone(),
            seed: 0,
            trials: None,
            slots: 2,
            resource: None,
            checkpoint: false,
            dir: None,
        });
        let mut study = Study::default();
        for entry in &demo.entries {
            study.apply(entry).unwrap();
            history.observe(&study, &entry.event);
        }
        history
    }

    fn demo() -> Demo {
        Demo::with(&["kind", "x"], vec![objective("loss", Goal::Min)])
    }

    fn values(kind: &str, x: f64) -> [(&'static str, Value); 2] {
        [("kind", Value::Text(kind.into())), ("x", Value::Float(x))]
    }

    #[test]
    fn a_pending_trial_repels_in_its_numbers_and_not_in_its_choices() {
        let mut demo = demo();
        demo.complete(&values("a", 0.3), &[("loss", 1.0)]);
        demo.start(&values("a", 0.3));
        let history = history_of(&demo);
        let axes = [0, 1].map(|row| telling_axes(&history, history.row(row)).into_owned());
        assert_eq!(axes, [[true, true], [false, true]]);
    }

    fn ratio(candidate: &Candidate, bad: &Parzen) -> f64 {
        let (unit, active) = (&candidate.unit, &candidate.active);
        candidate.ln_good - bad.ln_density(unit, active, &mut Vec::new())
    }

    #[test]
    fn the_candidate_found_early_has_the_largest_ratio_of_all() {
        let mut demo = demo();
        for at in 0..30 {
            let x = f64::from(at * 7 % 30) / 30.0;
            let kind = ["a", "b"][at as usize % 2];
            demo.complete(&values(kind, x), &[("loss", (x - 0.4).abs())]);
        }
        let history = history_of(&demo);
        let (good, bad) = good_and_bad(&history);
        let (likely, unlikely) = (mixture(&history, &good), mixture(&history, &bad));
        let mut scratch = Vec::new();
        let mut candidates: Vec<Candidate> = (0..200)
            .map(|at| {
                let mut unit = vec![f64::from(at % 2), f64::from(at) / 200.0];
                let active = history.snap(&mut unit);
                let ln_good = likely.ln_density(&unit, &active, &mut scratch);
                Candidate {
                    ln_good,
                    unit,
                    active,
                }
            })
            .collect();
        candidates.sort_by(|a, b| b.ln_good.total_cmp(&a.ln_good));
        let found = best_untried(&history, &candidates, &unlikely);
        let best = candidates
            .iter()
            .filter(|candidate| history.untried(&candidate.unit).is_some())
            .max_by(|a, b| ratio(a, &unlikely).total_cmp(&ratio(b, &unlikely)));
        assert_eq!(found, best.and_then(|best| history.untried(&best.unit)));
    }
}
