//! Grid search: every combination of the axes' values once, except those that already ran.
//!
//! The grid is never listed; the sampler stores its position and the configurations tried, so a
//! grid of 10^30 points costs no more than a grid of ten. A float needs a number of points;
//! integers, steps and choices have a natural one.

use super::lattice::{Lattice, Line};
use super::seen::Seen;
use super::{Ask, Sampler};
use std::sync::Arc;
use swath_model::source::section::Section;
use swath_model::source::{Diagnostic, Diagnostics, NodeValue, Opt, Preset, Takes};
use swath_model::space::{Axis, Name, Params, Space};
use swath_model::study::kind::Capability;
use swath_model::study::{Event, Kind, Setting, Study};
use swath_numerics::sobol::mix;

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "grid",
    about: "every combination of the values once",
    paper: None,
    options: OPTIONS,
    capabilities: &[Capability::Enumerates, Capability::Independent],
    build,
};

/// The options of `[search.grid]`.
const OPTIONS: &[Opt] = &[
    Opt::new(
        "points",
        Takes::Either(&[Takes::Count(1), Takes::Table(&Takes::Count(1))]),
        Preset::Absent,
        "values of every float, or of each float by its name; required where a float has no `step`",
    ),
    Opt::new(
        "order",
        Takes::OneOf(&["file", "random"]),
        Preset::Text("file"),
        "order of the combinations: as in the file, or random",
    ),
];

/// Maximum number of grid points examined in order for one proposal before random ones are tried.
const PATIENCE: usize = 100_000;

/// Builds the sampler. Returns `None`, with diagnostics, if an option is wrong or a float has no
/// number of points.
fn build(
    mut section: Section,
    setting: &Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Sampler>> {
    let points = Points::take(&mut section, setting.space.axes(), diagnostics);
    let order = section.take_text("order", diagnostics);
    let span = section.span.clone();
    let shuffled = match &order {
        None => false,
        Some((word, _)) if word == "file" => false,
        Some((word, _)) if word == "random" => true,
        Some((word, at)) => {
            let message = format!("`order` cannot be `{word}`");
            diagnostics.push(
                Diagnostic::error("unknown-choice", message)
                    .at(at.clone(), "")
                    .hint("it is `file` (the default) or `random`"),
            );
            return None;
        }
    };
    let points = points?;
    let mut lines = Vec::new();
    for axis in setting.space.axes() {
        match Line::of(axis, points.of(axis)) {
            Some(line) => lines.push(line),
            None => {
                let message = format!(
                    "a grid needs a number of points for the float `{}`",
                    axis.name
                );
                diagnostics.push(
                    Diagnostic::error("grid-needs-points", message)
                        .at(span.clone(), "")
                        .hint(format!("give all floats five values: `[search.grid]` with `points = 5`, or this one alone: `points = {{ {} = 5 }}`", axis.name))
                        .hint(format!("or give `{}` a `step`, or write its values as a list", axis.name))
                        .hint("or take a sampler that needs no grid: `random`, `sobol`, `tpe`, `gp`, `auto`"),
                );
            }
        }
    }
    let is_complete = lines.len() == setting.space.dims();
    is_complete.then(|| {
        Box::new(Grid::new(
            setting.space.clone(),
            lines,
            shuffled.then_some(setting.seed),
        )) as _
    })
}

/// The option `points`: one number for all floats, or one per parameter name.
struct Points {
    /// The number for every float that is not named.
    all: Option<u64>,
    /// Pairs of parameter name and number of points.
    by_name: Vec<(String, u64)>,
}

impl Points {
    /// Reads the option. Returns `None`, with a diagnostic, if it is wrong.
    fn take(section: &mut Section, axes: &[Axis], diagnostics: &mut Diagnostics) -> Option<Self> {
        let mut points = Self {
            all: None,
            by_name: Vec::new(),
        };
        let Some(node) = section.take("points") else {
            return Some(points);
        };
        match node.value {
            NodeValue::Int(n) if n >= 1 => points.all = Some(n as u64),
            NodeValue::Table(table) => {
                for (key, node) in table.entries {
                    if !axes.iter().any(|axis| parameter(&axis.name) == key.name) {
                        let message =
                            format!("`points` names `{}`, which is not searched", key.name);
                        let parameters = axes.iter().map(|axis| parameter(&axis.name));
                        diagnostics.push(
                            Diagnostic::error("unknown-name", message)
                                .at(key.span, "")
                                .did_you_mean(&key.name, parameters),
                        );
                        return None;
                    }
                    let NodeValue::Int(n @ 1..) = node.value else {
                        let message =
                            format!("the points of `{}` must be a whole number from 1", key.name);
                        diagnostics
                            .push(Diagnostic::error("wrong-type", message).at(node.span, ""));
                        return None;
                    };
                    points.by_name.push((key.name, n as u64));
                }
            }
            _ => {
                let message =
                    "`points` must be a whole number from 1, or a table of them by parameter";
                diagnostics.push(Diagnostic::error("wrong-type", message).at(node.span, ""));
                return None;
            }
        }
        Some(points)
    }

    /// Returns the number of points of an axis, or `None` if the option does not give one.
    fn of(&self, axis: &Axis) -> Option<u64> {
        let named = self
            .by_name
            .iter()
            .find(|(name, _)| name == parameter(&axis.name));
        named.map(|(_, n)| *n).or(self.all)
    }
}

/// Returns the name of the parameter that an axis belongs to: `units` for `units[2]`.
fn parameter(name: &Name) -> &str {
    name.split('[').next().unwrap_or(name)
}

/// A grid and its cursor.
struct Grid {
    space: Arc<Space>,
    /// The combinations of the values.
    lattice: Lattice,
    /// The seed of the random order, or `None` for the order of the file.
    shuffle: Option<u64>,
    /// The first combination in file order that is not known to be done, as one index per axis;
    /// `None` past the last combination.
    next: Option<Vec<u64>>,
    /// Number of probes of the random order that are done.
    probes: u64,
    seen: Seen,
}

impl Grid {
    fn new(space: Arc<Space>, lines: Vec<Line>, shuffle: Option<u64>) -> Self {
        let lattice = Lattice::new(space.clone(), lines);
        Self {
            next: lattice.first(),
            lattice,
            shuffle,
            probes: 0,
            // The user chose the points, however close they are.
            seen: Seen::exact(space.clone()),
            space,
        }
    }

    /// Returns whether a configuration is still to be tried: neither seen nor refused by a
    /// constraint.
    fn is_untried(&self, params: &Params) -> bool {
        !self.seen.has(params) && self.space.admits(params).is_ok()
    }

    /// Examines up to `patience` combinations from `start` on. Returns the position reached and the
    /// first configuration that is still to be tried, if one was found.
    fn next_untried(
        &self,
        start: Option<&Vec<u64>>,
        patience: usize,
    ) -> (Option<Vec<u64>>, Option<Params>) {
        let mut digits = start.cloned();
        for _ in 0..patience {
            let Some(here) = &digits else { break };
            let params = self.lattice.decode(here);
            if self.is_untried(&params) {
                return (digits, Some(params));
            }
            digits = self.lattice.after(here, &params);
        }
        (digits, None)
    }

    /// Returns the random combination of probe number `probe` under `seed`. Probes may repeat.
    fn probe(&self, seed: u64, probe: u64) -> Params {
        let lines = self.lattice.lines().iter();
        let digits: Vec<u64> = lines
            .enumerate()
            .map(|(at, line)| {
                let bits = mix(mix(seed ^ mix(probe)) ^ at as u64);
                ((u128::from(bits) * u128::from(line.len())) >> 64) as u64
            })
            .collect();
        self.lattice.decode(&digits)
    }

    /// Returns the first of the next thousand probes whose configuration is still to be tried, with
    /// its number.
    fn probes(&self, seed: u64) -> Option<(u64, Params)> {
        (self.probes..self.probes + 1000)
            .map(|at| (at, self.probe(seed, at)))
            .find(|(_, params)| self.is_untried(params))
    }
}

impl Sampler for Grid {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.seen.observe(study, event);
        if !matches!(event, Event::Created { .. }) {
            return;
        }
        if let Some(seed) = self.shuffle {
            let done = (self.probes..self.probes + 1000)
                .take_while(|at| !self.is_untried(&self.probe(seed, *at)));
            self.probes += done.count() as u64;
        }
        self.next = self.next_untried(self.next.as_ref(), PATIENCE).0;
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        if let Some(seed) = self.shuffle
            && let Some((_, params)) = self.probes(seed)
        {
            return Some(params);
        }
        // Random probes repeat ever more often as the grid fills up. The scan in file order finds
        // the rest.
        let (rest, params) = self.next_untried(self.next.as_ref(), PATIENCE);
        if params.is_some() || rest.is_none() {
            return params;
        }
        // Constraints refuse a long stretch. Try random points before walking through all the rest.
        let elsewhere = (0..10_000)
            .map(|at| self.probe(mix(ask.seed), at))
            .find(|params| self.is_untried(params));
        elsewhere.or_else(|| self.next_untried(rest.as_ref(), usize::MAX).1)
    }
}
