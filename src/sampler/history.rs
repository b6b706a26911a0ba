//! What the model-based samplers know: every trial as a point of the unit cube, and how well it
//! did.
//!
//! One table for all of them, kept up to date event by event, so that a proposal never walks over
//! the journal.

use super::elite::Elite;
use super::seen::Seen;
use crate::space::{AxisKind, Params, Space};
use crate::study::{Event, Objective, Origin, Setting, Study, Trial, TrialId, TrialState};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How a trial stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    /// It waits or runs, or is paused and said nothing: nothing is known.
    Pending,
    /// Its oriented objectives, measured or, of a stopped or paused trial, estimated.
    Scored(Box<[f64]>),
    /// It failed, or was stopped before it said anything.
    Failed,
    /// It does not belong to the space any more.
    Outside,
    /// Another seed of an earlier trial, whose row has the mean of all.
    Replicate,
}

/// One trial.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// (d) in the unit cube; inactive coordinates are 0.5.
    pub(super) unit: Box<[f64]>,
    /// (d) which coordinates exist in it.
    pub(super) active: Box<[bool]>,
    /// How it stands.
    pub(super) fate: Fate,
    /// By how much it breaks the limits; 0 if it keeps them all.
    pub(super) violation: f64,
    /// How far it is beyond each limit, negative if it keeps it; NaN if it did not say.
    pub(super) excess: Box<[f64]>,
    /// The row of the configuration it is another seed of.
    of: Option<u32>,
    /// Of how many seeds its scores are the mean.
    pub(super) seeds: usize,
    /// Its first objective by resource, at steps that grow by a quarter.
    curve: Vec<(f64, f64)>,
    unfinished: bool,
}

impl Row {
    fn score(&self) -> Option<f64> {
        match &self.fate {
            Fate::Scored(scores) => scores.first().copied(),
            _ => None,
        }
    }

    /// Returns the oriented value it had when it had spent `step`.
    fn at(&self, step: f64) -> Option<f64> {
        let reached = self.curve.last().is_some_and(|(last, _)| *last >= step);
        let found = self.curve.iter().take_while(|(at, _)| *at <= step).last()?;
        reached.then_some(found.1)
    }
}

/// Every trial of a study as the samplers see it.
pub(super) struct History {
    pub(super) space: Arc<Space>,
    pub(super) objectives: Vec<Objective>,
    pub(super) seen: Seen,
    /// How many outcome limits there are.
    limits: usize,
    /// By trial id less one.
    rows: Vec<Row>,
    /// How many rows are other seeds of earlier ones.
    replicates: usize,
    /// Rows with a score, best first; ties by age.
    ranked: Vec<(f64, u32)>,
    elite: Elite,
    failed: Vec<u32>,
    pending: BTreeSet<u32>,
    /// (d) which coordinates do not exist in every configuration.
    absent: Vec<bool>,
    /// (d) where the cells of an axis lie, if they are few enough to be listed.
    cells: Vec<Option<Cells>>,
}

impl History {
    pub(super) fn new(setting: &Setting) -> Self {
        Self {
            space: setting.space.clone(),
            objectives: setting.objectives.clone(),
            seen: Seen::default(),
            limits: 0,
            rows: Vec::new(),
            replicates: 0,
            ranked: Vec::new(),
            elite: Elite::new(80),
            failed: Vec::new(),
            pending: BTreeSet::new(),
            absent: sometimes_absent(&setting.space),
            cells: (0..setting.space.dims())
                .map(|axis| Cells::new(&setting.space, axis))
                .collect(),
        }
    }

    /// Returns the kind of every axis, (d).
    pub(super) fn kinds(&self) -> impl ExactSizeIterator<Item = &AxisKind> {
        self.space.axes().iter().map(|axis| &axis.kind)
    }

    pub(super) fn dims(&self) -> usize {
        self.space.dims()
    }

    /// Returns how many configurations were tried, whatever became of them.
    pub(super) fn len(&self) -> usize {
        self.rows.len() - self.replicates
    }

    /// Returns how many outcome limits there are.
    pub(super) fn limits(&self) -> usize {
        self.limits
    }

    /// Returns the best row by the first objective, of those that keep the limits if any does.
    pub(super) fn best(&self) -> Option<u32> {
        let best = self
            .ranked
            .iter()
            .map(|(_, row)| *row)
            .find(|row| self.row(*row).violation == 0.0);
        let violation = |row: &u32| self.row(*row).violation;
        let least = || {
            self.ranked
                .iter()
                .map(|(_, row)| *row)
                .min_by(|a, b| violation(a).total_cmp(&violation(b)))
        };
        best.or_else(least)
    }

    /// Orders rows from best to worst over all objectives, those that keep the limits first.
    pub(super) fn order(&self, rows: &[u32]) -> Vec<u32> {
        let scores: Vec<&[f64]> = rows.iter().map(|row| self.scores(*row)).collect();
        let violations: Vec<f64> = rows.iter().map(|row| self.row(*row).violation).collect();
        crate::numerics::pareto::order(&scores, &violations)
            .into_iter()
            .map(|at| rows[at])
            .collect()
    }

    /// Returns the row of the configuration that a trial is of.
    pub(super) fn head(&self, trial: TrialId) -> u32 {
        let at = trial.0.saturating_sub(1);
        self.rows
            .get(at as usize)
            .and_then(|row| row.of)
            .unwrap_or(at)
    }

    pub(super) fn row(&self, at: u32) -> &Row {
        &self.rows[at as usize]
    }

    /// Returns the rows with a score, best first by the first objective.
    pub(super) fn ranked(&self) -> &[(f64, u32)] {
        &self.ranked
    }

    /// Returns the best of the rows with a score, over several objectives; empty if there is one.
    pub(super) fn elite(&self) -> &[u32] {
        self.elite.rows()
    }

    pub(super) fn failed(&self) -> &[u32] {
        &self.failed
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = u32> {
        self.pending.iter().copied()
    }

    /// Returns all oriented objectives of a row with a score.
    pub(super) fn scores(&self, at: u32) -> &[f64] {
        match &self.row(at).fate {
            Fate::Scored(scores) => scores,
            _ => &[],
        }
    }

    /// Returns whether some coordinates do not exist in some configurations.
    pub(super) fn conditional(&self) -> bool {
        self.absent.contains(&true)
    }

    /// Returns whether a coordinate does not exist in some configurations.
    pub(super) fn sometimes_absent(&self, axis: usize) -> bool {
        self.absent[axis]
    }

    /// Moves a point to where its configuration will be found again, and says which coordinates
    /// exist there.
    pub(super) fn settle(&self, unit: &mut [f64]) -> Box<[bool]> {
        if self.conditional() {
            let params = self.space.decode(unit);
            unit.copy_from_slice(&self.space.encode(&params));
            return self.space.active(&params).into();
        }
        for (x, cells) in unit.iter_mut().zip(&self.cells) {
            *x = cells
                .as_ref()
                .map_or(x.clamp(0.0, 1.0 - f64::EPSILON / 2.0), |cells| {
                    cells.settle(*x)
                });
        }
        vec![true; unit.len()].into()
    }

    /// Decodes a point unless a constraint refuses it or it was tried before.
    pub(super) fn fresh(&self, unit: &[f64]) -> Option<Params> {
        let params = self.space.decode(unit);
        (!self.seen.has(&params) && self.space.admits(&params).is_ok()).then_some(params)
    }

    /// Learns from an event.
    pub(super) fn observe(&mut self, study: &Study, event: &Event) {
        self.absorb(study, event);
        if self.objectives.len() > 1 {
            let mut elite = std::mem::replace(&mut self.elite, Elite::new(0));
            elite.observe(self, event);
            self.elite = elite;
        }
    }

    fn absorb(&mut self, study: &Study, event: &Event) {
        self.seen.observe(study, event);
        match event {
            Event::Opened { header, .. } => self.limits = header.limits.len(),
            Event::Edited { .. } | Event::Removed { .. } | Event::Restored { .. } => {
                self.rebuild(study);
            }
            Event::Created {
                params,
                origin: Origin::Replicate(of),
                ..
            } => {
                let of = Some(of.0.saturating_sub(1));
                self.rows.push(Row {
                    fate: Fate::Replicate,
                    of,
                    ..self.place(params)
                });
                self.replicates += 1;
            }
            Event::Created { trial, params, .. } => {
                self.rows.push(self.place(params));
                self.pending.insert(trial.0.saturating_sub(1));
            }
            Event::Started {
                trial,
                resume: false,
                ..
            } => {
                if let Some(row) = self.rows.get_mut(index(*trial)) {
                    row.curve.clear();
                }
            }
            Event::Logged { trial, .. } => self.follow(study, *trial),
            Event::Ended { trial, .. }
            | Event::Requeued { trial, .. }
            | Event::Judged { trial, .. } => {
                self.settle_fate(study, study.head(*trial));
            }
            _ => {}
        }
    }

    fn place(&self, params: &Params) -> Row {
        let dims = self.dims();
        let mut unit = self.space.encode(params);
        unit.resize(dims, 0.5);
        let mut active = self.space.active(params);
        active.resize(dims, true);
        for x in &mut unit {
            *x = if x.is_finite() {
                x.clamp(0.0, 1.0)
            } else {
                0.5
            };
        }
        Row {
            unit: unit.into(),
            active: active.into(),
            fate: Fate::Pending,
            violation: 0.0,
            excess: Box::default(),
            of: None,
            seeds: 1,
            curve: Vec::new(),
            unfinished: false,
        }
    }

    /// Reads everything again: the sweep file has changed.
    fn rebuild(&mut self, study: &Study) {
        let old = std::mem::take(&mut self.rows);
        self.ranked.clear();
        self.failed.clear();
        self.limits = study.header().limits.len();
        self.pending.clear();
        self.replicates = 0;
        for (at, trial) in study.trials().iter().enumerate() {
            let mut row = self.place(&trial.params);
            if let Origin::Replicate(of) = trial.origin {
                row.fate = Fate::Replicate;
                row.of = Some(of.0.saturating_sub(1));
                self.replicates += 1;
            }
            row.curve = old.get(at).map(|row| row.curve.clone()).unwrap_or_default();
            self.rows.push(row);
        }
        for trial in study
            .trials()
            .iter()
            .filter(|trial| study.head(trial.id) == trial.id)
        {
            self.settle_fate(study, trial.id);
        }
    }

    /// Notes what a running trial has reached.
    fn follow(&mut self, study: &Study, id: TrialId) {
        let Some(objective) = self.objectives.first() else {
            return;
        };
        let Some(trial) = study.trial(id) else { return };
        let value = trial
            .objective(objective)
            .and_then(|value| objective.score(value));
        let (Some(step), Some(value)) = (trial.step, value) else {
            return;
        };
        let Some(row) = self.rows.get_mut(index(id)) else {
            return;
        };
        let count = row.curve.len();
        if count >= 2 && row.curve[count - 1].0 < row.curve[count - 2].0 * 1.25 {
            row.curve.pop();
        }
        row.curve.push((step, value.get()));
    }

    fn settle_fate(&mut self, study: &Study, id: TrialId) {
        let Some(trial) = study.trial(id) else { return };
        let at = index(id) as u32;
        let Some(row) = self.rows.get(at as usize) else {
            return;
        };
        if let Some(score) = row.score() {
            let place = self
                .ranked
                .partition_point(|found| before(*found, (score, at)));
            self.ranked.remove(place);
        }
        if row.fate == Fate::Failed {
            self.failed.retain(|failed| *failed != at);
        }
        self.pending.remove(&at);
        let fate = self.judge(study, trial, row);
        let standing = study
            .standing(id)
            .filter(|_| trial.state == TrialState::Complete);
        let row = &mut self.rows[at as usize];
        row.seeds = standing.as_ref().map_or(1, |standing| standing.seeds);
        if self.limits > 0 {
            let limits = &study.header().limits;
            let value = |limit| match &standing {
                Some(_) => study.limited(id, limit),
                None => trial.limited(limit),
            };
            row.violation = standing
                .as_ref()
                .map_or_else(|| trial.violation(limits), |standing| standing.violation);
            row.excess = limits
                .iter()
                .map(|limit| value(limit).map_or(f64::NAN, |value| limit.excess(value)))
                .collect();
        }
        row.unfinished = matches!(trial.state, TrialState::Stopped | TrialState::Paused);
        row.fate = fate;
        match (&row.fate, row.score()) {
            (Fate::Pending, _) => drop(self.pending.insert(at)),
            (Fate::Failed, _) => self.failed.push(at),
            (_, Some(score)) => {
                let place = self
                    .ranked
                    .partition_point(|found| before(*found, (score, at)));
                self.ranked.insert(place, (score, at));
            }
            _ => {}
        }
    }

    fn judge(&self, study: &Study, trial: &Trial, row: &Row) -> Fate {
        if trial.outside {
            return Fate::Outside;
        }
        let scores = || -> Option<Box<[f64]>> {
            trial
                .scores(&self.objectives)
                .map(|scores| scores.iter().map(|score| score.get()).collect())
        };
        match trial.state {
            TrialState::Waiting | TrialState::Running => Fate::Pending,
            TrialState::Failed => Fate::Failed,
            TrialState::Complete => {
                let standing = study.standing(trial.id).map(|standing| standing.scores);
                standing.map_or(Fate::Failed, |scores| Fate::Scored(scores.into()))
            }
            TrialState::Stopped | TrialState::Paused => match scores() {
                Some(mut scores) => {
                    if let (Some(first), Some(guess)) = (scores.first_mut(), self.project(row)) {
                        *first = guess;
                    }
                    Fate::Scored(scores)
                }
                None if trial.state == TrialState::Paused => Fate::Pending,
                None => Fate::Failed,
            },
        }
    }

    /// Guesses where a stopped or paused trial would have ended: at the rank among complete trials
    /// that it had among them at the same step.
    fn project(&self, row: &Row) -> Option<f64> {
        let (step, value) = *row.curve.last()?;
        let peers = self
            .ranked
            .iter()
            .map(|(_, at)| self.row(*at))
            .filter(|peer| !peer.unfinished);
        let (mut then, mut finally): (Vec<f64>, Vec<f64>) = peers
            .take(200)
            .filter_map(|peer| Some((peer.at(step)?, peer.score()?)))
            .unzip();
        if then.len() < 3 {
            return Some(value);
        }
        then.sort_by(f64::total_cmp);
        finally.sort_by(f64::total_cmp);
        let rank = then.partition_point(|then| *then < value);
        let last = then.len() - 1;
        Some(if rank > last {
            finally[last] + (value - then[last]).max(0.0)
        } else {
            finally[rank]
        })
    }
}

fn index(id: TrialId) -> usize {
    (id.0 as usize).wrapping_sub(1)
}

fn before(a: (f64, u32), b: (f64, u32)) -> bool {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).is_lt()
}

/// Finds out by trying which coordinates are ever inactive.
fn sometimes_absent(space: &Space) -> Vec<bool> {
    let points = crate::numerics::sobol::Sobol::new(space.dims(), 1);
    let mut absent = vec![false; space.dims()];
    for at in 0..128 {
        let active = space.active(&space.decode(&points.point(at)));
        absent
            .iter_mut()
            .zip(active)
            .for_each(|(absent, active)| *absent |= !active);
    }
    absent
}

/// The cells of an axis that is not a continuum.
struct Cells {
    centres: Vec<f64>,
    /// Where each but the first begins.
    edges: Vec<f64>,
}

impl Cells {
    const MOST: u64 = 1024;

    fn new(space: &Space, axis: usize) -> Option<Self> {
        let centres: Vec<f64> = match &space.axes()[axis].kind {
            AxisKind::Ordered(n) if (1..=Self::MOST).contains(n) => (0..*n)
                .map(|at| space.cell(axis, at))
                .collect::<Option<_>>()?,
            AxisKind::Choice(weights) => (0..weights.len()).map(|at| centre(at, weights)).collect(),
            _ => return None,
        };
        let mut edge = 0.0;
        let mut edges: Vec<f64> = Vec::new();
        for centre in &centres {
            edge = 2.0 * centre - edge;
            edges.push(edge);
        }
        edges.pop();
        Some(Self { centres, edges })
    }

    fn settle(&self, x: f64) -> f64 {
        self.centres[self.edges.partition_point(|edge| *edge <= x)]
    }
}

/// Returns the number of the choice whose share of the unit interval holds `x`.
pub(super) fn category(x: f64, weights: &[f64]) -> usize {
    let mut high = 0.0;
    let mut last = 0;
    for (at, weight) in weights.iter().enumerate() {
        high += weight;
        if *weight > 0.0 {
            last = at;
            if x < high {
                return at;
            }
        }
    }
    last
}

/// Returns where the share of choice `at` has its middle.
pub(super) fn centre(at: usize, weights: &[f64]) -> f64 {
    weights[..at].iter().sum::<f64>() + weights[at] / 2.0
}

#[cfg(test)]
mod tests;
