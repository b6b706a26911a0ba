//! The history shared by the model-based samplers: every trial as a point of the unit cube with its
//! score.
//!
//! One table serves all of them. It is updated event by event, so that no proposal has to read the
//! journal.

use super::archive::Archive;
use super::seen::Seen;
use std::collections::BTreeSet;
use std::sync::Arc;
use swath_model::space::{AxisKind, Params, Space};
use swath_model::study::{
    Event, Exit, FailureClass, Objective, Origin, Setting, Study, Trial, TrialId, TrialState,
};
use swath_numerics::pareto::dominates;

/// Number of rows in the archive. It exceeds every population of `nsga2` and every set of good
/// trials of `tpe`.
const ARCHIVED: usize = 80;

/// Maximum number of complete trials that an unfinished one is compared with.
const MAX_PEERS: usize = 200;

/// Minimum ratio between the resources of two points of a learning curve, except the last: the
/// length of a curve stays logarithmic in the number of reports.
const CURVE_SPACING: f64 = 1.25;

/// The outcome of a trial as far as a model is concerned.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The trial waits or runs, or it is paused and has not reported all objectives: no score yet.
    Pending,
    /// The oriented objectives (smaller is better). The first one is an estimate if the trial is
    /// stopped or paused.
    Scored(Box<[f64]>),
    /// The trial failed, was stopped before it reported all objectives, or is complete without
    /// them.
    Failed,
    /// The trial failed for a reason that says nothing about its configuration: it could not be
    /// started, or its machine went down.
    Uninformative,
    /// The configuration no longer belongs to the space, after an edit of the sweep file.
    Outside,
    /// The trial is a replicate: another seed of an earlier trial, whose row holds the mean of all
    /// seeds.
    Replicate,
}

/// One trial of the history.
#[derive(Debug, Clone)]
pub struct Row {
    /// The point in the unit cube, of shape (d); each coordinate is in [0, 1]. Inactive coordinates
    /// are 0.5.
    pub unit: Box<[f64]>,
    /// Of shape (d): whether each coordinate is active in this configuration.
    pub active: Box<[bool]>,
    /// The outcome so far.
    pub outcome: Outcome,
    /// Total violation of the outcome constraints, at least 0; 0 if all are satisfied. Each
    /// violation is relative to its bound, unless the bound is 0.
    pub violation: f64,
    /// The excess over each outcome constraint, in units of its metric: negative if satisfied, NaN
    /// if the trial did not report the metric. Empty until the trial has an outcome, and without
    /// outcome constraints.
    pub excess: Box<[f64]>,
    /// The class of the failure if the trial failed.
    pub failure: Option<FailureClass>,
    /// The row of the original trial if this one is a replicate.
    original: Option<u32>,
    /// The number of seeds that the scores are the mean of.
    pub seeds: usize,
    /// The learning curve of the first objective: pairs of resource and oriented value. Each
    /// resource is at least a quarter above the one before, except the last.
    curve: Vec<(f64, f64)>,
    /// Number of first points that stay whatever follows: up to the last one that was judged.
    judged_points: usize,
    /// Whether the trial was stopped or paused, so that its score is an estimate.
    unfinished: bool,
    /// Whether the trial is paused.
    paused: bool,
}

impl Row {
    /// Returns the learning curve of the first objective: pairs of resource and oriented value.
    pub(super) fn curve(&self) -> &[(f64, f64)] {
        &self.curve
    }

    /// Returns the last point of the learning curve; resource 0 and value 0 without any.
    pub(super) fn last_point(&self) -> (f64, f64) {
        self.curve.last().copied().unwrap_or_default()
    }

    /// Returns the first oriented objective of a row with a score.
    fn score(&self) -> Option<f64> {
        match &self.outcome {
            Outcome::Scored(scores) => scores.first().copied(),
            _ => None,
        }
    }

    /// Returns the oriented value at the last point of the curve up to `step`, or `None` if the
    /// trial did not get as far as `step`.
    fn value_at(&self, step: f64) -> Option<f64> {
        let has_reached = self.curve.last().is_some_and(|(last, _)| *last >= step);
        let point = self.curve.iter().take_while(|(at, _)| *at <= step).last()?;
        has_reached.then_some(point.1)
    }
}

/// All trials of a study as the samplers see them: a row for each, whose index is the trial id
/// minus one.
///
/// Scores are *oriented*: smaller is better, so those of an objective to maximize have the opposite
/// sign. The score of a configuration with several seeds is the mean over its complete replicates;
/// the replicates themselves have no score. The score of a stopped or paused trial is an estimate
/// of its final value: its rank among the complete trials at its last step, mapped to the final
/// score of the same rank. Mapping by rank needs no model of the curves.
///
/// An update takes O(log n) comparisons and a shift of 16 bytes for each worse trial, apart from
/// edits of the study, which rebuild the history. With several objectives an update also sorts the
/// 80 best trials by non-dominated fronts and crowding distance (Deb et al., IEEE TEC 6(2), 2002).
pub struct History {
    /// The search space.
    pub(super) space: Arc<Space>,
    /// The objectives of the study, in the order of the sweep file.
    pub(super) objectives: Vec<Objective>,
    /// The configurations that were tried.
    pub(super) seen: Seen,
    /// Number of outcome constraints.
    constraint_count: usize,
    /// One row per trial. The index is the trial id minus one.
    rows: Vec<Row>,
    /// Number of rows that are replicates of earlier ones.
    replicates: usize,
    /// Pairs of first score and row, for all rows with a score: best first, ties by age.
    ranked: Vec<(f64, u32)>,
    /// Number of those rows whose trials are paused.
    paused: usize,
    /// The best rows over several objectives; unused with a single objective.
    archive: Archive,
    /// The rows whose outcome is [`Outcome::Failed`].
    failed: Vec<u32>,
    /// The largest resource that any trial has reported.
    furthest: f64,
    /// Rows of pending trials.
    pending: BTreeSet<u32>,
    /// Of shape (d): whether a coordinate is inactive in some configurations.
    absent: Vec<bool>,
    /// Of shape (d): the cells of each axis; `None` for a continuous axis or one of more than
    /// [`Cells::MOST`] cells.
    cells: Vec<Option<Cells>>,
}

impl History {
    /// Creates an empty history for the space and the objectives of `setting`.
    #[must_use]
    pub fn new(setting: &Setting) -> Self {
        Self {
            space: setting.space.clone(),
            objectives: setting.objectives.clone(),
            seen: Seen::new(setting.space.clone()),
            constraint_count: 0,
            rows: Vec::new(),
            replicates: 0,
            ranked: Vec::new(),
            paused: 0,
            archive: Archive::new(ARCHIVED),
            failed: Vec::new(),
            furthest: 0.0,
            pending: BTreeSet::new(),
            absent: sometimes_absent(&setting.space),
            cells: (0..setting.space.dims())
                .map(|axis| Cells::new(&setting.space, axis))
                .collect(),
        }
    }

    /// Creates the history of a study that was read from its journal. It has no learning curves, so
    /// the scores of stopped and paused trials are those of their last reports.
    pub(super) fn of(setting: &Setting, study: &Study) -> Self {
        let mut history = Self::new(setting);
        history.rebuild(study);
        history
    }

    /// Returns the kind of every axis; d items.
    pub(super) fn kinds(&self) -> impl ExactSizeIterator<Item = &AxisKind> {
        self.space.axes().iter().map(|axis| &axis.kind)
    }

    /// Returns the configurations that were tried.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Returns d, the number of axes of the unit cube.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.space.dims()
    }

    /// Returns the number of configurations created so far, in whatever state. Replicates do not
    /// count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len() - self.replicates
    }

    /// Returns whether no configuration was created yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the number of outcome constraints.
    #[must_use]
    pub fn constraint_count(&self) -> usize {
        self.constraint_count
    }

    /// Returns the best row by the first objective among the rows that satisfy the outcome
    /// constraints. If no row does, returns the row of the smallest violation.
    #[must_use]
    pub fn incumbent(&self) -> Option<u32> {
        let violations = self
            .ranked
            .iter()
            .map(|(_, row)| (*row, self.row(*row).violation));
        let feasible = violations.clone().find(|(_, violation)| *violation == 0.0);
        feasible
            .or_else(|| violations.min_by(|(_, a), (_, b)| a.total_cmp(b)))
            .map(|(row, _)| row)
    }

    /// Returns `rows` ordered from best to worst over all objectives, by non-dominated front and
    /// crowding distance. Rows that satisfy the outcome constraints come first, the others follow
    /// by violation (Deb et al., IEEE TEC 6(2), 2002). Every row must have a score.
    ///
    /// # Panics
    /// If a row does not exist.
    #[must_use]
    pub fn order(&self, rows: &[u32]) -> Vec<u32> {
        let scores: Vec<&[f64]> = rows.iter().map(|row| self.scores(*row)).collect();
        let violations: Vec<f64> = rows.iter().map(|row| self.row(*row).violation).collect();
        swath_numerics::pareto::order(&scores, &violations)
            .into_iter()
            .map(|at| rows[at])
            .collect()
    }

    /// Returns the row of the original trial for a replicate, and the trial's own row otherwise.
    #[must_use]
    pub fn original_row(&self, trial: TrialId) -> u32 {
        let at = trial.0.saturating_sub(1);
        self.rows
            .get(at as usize)
            .and_then(|row| row.original)
            .unwrap_or(at)
    }

    /// Returns a row.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, at: u32) -> &Row {
        &self.rows[at as usize]
    }

    /// Returns pairs of the first oriented score and the row, best first, ties by age. Outcome
    /// constraints do not matter here.
    #[must_use]
    pub fn ranked(&self) -> &[(f64, u32)] {
        &self.ranked
    }

    /// Returns the best rows over several objectives, best first. Empty with a single objective.
    pub(super) fn archive(&self) -> &[u32] {
        self.archive.rows()
    }

    /// Returns the archived rows of the Pareto front: those that satisfy the outcome constraints
    /// and that no other of them dominates.
    pub(super) fn front(&self) -> Vec<u32> {
        let archived = self.archive().iter().copied();
        let feasible: Vec<u32> = archived
            .filter(|row| self.row(*row).violation == 0.0)
            .collect();
        let mut front = feasible.clone();
        front.retain(|row| {
            let mut others = feasible.iter().map(|other| self.scores(*other));
            !others.any(|other| dominates(other, self.scores(*row)))
        });
        front
    }

    /// Returns the rows whose outcome is [`Outcome::Failed`].
    #[must_use]
    pub fn failed(&self) -> &[u32] {
        &self.failed
    }

    /// Returns the classes of the failures so far.
    pub(super) fn failure_classes(&self) -> BTreeSet<FailureClass> {
        let failed = self.failed.iter();
        failed.filter_map(|row| self.row(*row).failure).collect()
    }

    /// Returns the largest resource that any trial has reported, 0 if none has.
    pub(super) fn furthest(&self) -> f64 {
        self.furthest
    }

    /// Returns the rows that have a learning curve, neither failed nor replicates, by age.
    pub(super) fn with_curves(&self) -> impl Iterator<Item = (u32, &Row)> {
        let rows = (0..).zip(&self.rows);
        rows.filter(|(_, row)| {
            let counts = matches!(row.outcome, Outcome::Scored(_) | Outcome::Pending);
            counts && !row.curve.is_empty()
        })
    }

    /// Returns whether most trials with a score are paused below the end, so that their scores are
    /// estimates.
    pub(crate) fn is_mostly_paused(&self) -> bool {
        self.paused * 2 > self.ranked.len()
    }

    /// Returns the rows of the pending trials, oldest first.
    pub fn pending(&self) -> impl Iterator<Item = u32> {
        self.pending.iter().copied()
    }

    /// Returns all oriented objectives of a row, one for each objective of the study, or an empty
    /// slice if the row has no score.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn scores(&self, at: u32) -> &[f64] {
        match &self.row(at).outcome {
            Outcome::Scored(scores) => scores,
            _ => &[],
        }
    }

    /// Returns whether any coordinate is inactive in some configurations.
    pub(super) fn conditional(&self) -> bool {
        self.absent.contains(&true)
    }

    /// Returns whether this coordinate is inactive in some configurations.
    pub(super) fn sometimes_absent(&self, axis: usize) -> bool {
        self.absent[axis]
    }

    /// Moves a point, of shape (d), to the place where its configuration will be encoded, and
    /// returns which coordinates are active there, of shape (d). A model then compares the point
    /// with tried ones without rounding errors.
    pub fn snap(&self, unit: &mut [f64]) -> Box<[bool]> {
        // Only decoding reveals which coordinates of a conditional space are active. Without
        // conditions a look-up of the cell per axis is much cheaper.
        if self.conditional() {
            let params = self.space.decode(unit);
            unit.copy_from_slice(&self.space.encode(&params));
            return self.space.active(&params).into();
        }
        for (x, cells) in unit.iter_mut().zip(&self.cells) {
            *x = cells
                .as_ref()
                .map_or(x.clamp(0.0, 1.0 - f64::EPSILON / 2.0), |cells| {
                    cells.snap(*x)
                });
        }
        vec![true; unit.len()].into()
    }

    /// Returns the configuration of a point, of shape (d), or `None` if a constraint refuses it or
    /// it was tried before, or nearly the same one.
    #[must_use]
    pub fn untried(&self, unit: &[f64]) -> Option<Params> {
        let params = self.space.decode(unit);
        (!self.seen.has(&params) && self.space.admits(&params).is_ok()).then_some(params)
    }

    /// Updates the history from an event that `study` has just applied. Call it for every event, in
    /// [`Sampler::observe`](super::Sampler::observe).
    pub fn observe(&mut self, study: &Study, event: &Event) {
        self.update_rows(study, event);
        if self.objectives.len() > 1 {
            // The list is taken out while it reads the rest of `self`.
            let mut archive = std::mem::replace(&mut self.archive, Archive::new(0));
            archive.observe(self, event);
            self.archive = archive;
        }
    }

    /// Updates all but the archived rows.
    fn update_rows(&mut self, study: &Study, event: &Event) {
        self.seen.observe(study, event);
        match event {
            Event::Opened { header, .. } => self.constraint_count = header.limits.len(),
            Event::Edited { .. } | Event::Removed { .. } | Event::Restored { .. } => {
                self.rebuild(study);
            }
            Event::Created {
                params,
                origin: Origin::Replicate(first) | Origin::Rerun(first),
                ..
            } => {
                // A replicate gets a row, so that rows stay indexed by trial id, but it is never
                // scored itself.
                let original = Some(first.0.saturating_sub(1));
                self.rows.push(Row {
                    outcome: Outcome::Replicate,
                    original,
                    ..self.pending_row(params)
                });
                self.replicates += 1;
            }
            Event::Created { trial, params, .. } => {
                self.rows.push(self.pending_row(params));
                self.pending.insert(trial.0.saturating_sub(1));
            }
            Event::Started {
                trial,
                resume: false,
                ..
            } => {
                // An attempt without a checkpoint starts from zero, so the curve does too.
                if let Some(row) = self.rows.get_mut(index(*trial)) {
                    row.curve.clear();
                    row.judged_points = 0;
                }
            }
            Event::Logged { trial, .. } => self.extend_curve(study, *trial),
            Event::Judged { trial, .. } => {
                // The value at a rung is the one that trials are compared by.
                if let Some(row) = self.rows.get_mut(index(*trial)) {
                    row.judged_points = row.curve.len();
                }
                self.update_outcome(study, study.configuration(*trial));
            }
            Event::Ended { trial, .. } | Event::Requeued { trial, .. } => {
                self.update_outcome(study, study.configuration(*trial));
            }
            _ => {}
        }
    }

    /// Returns a pending row for a configuration. A configuration that no longer fits the space is
    /// padded or clamped into the unit cube.
    fn pending_row(&self, params: &Params) -> Row {
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
            outcome: Outcome::Pending,
            violation: 0.0,
            excess: Box::default(),
            failure: None,
            original: None,
            seeds: 1,
            curve: Vec::new(),
            judged_points: 0,
            unfinished: false,
            paused: false,
        }
    }

    /// Rebuilds all rows after an edit of the study: ranges, objectives or constraints may have
    /// changed.
    fn rebuild(&mut self, study: &Study) {
        let old = std::mem::take(&mut self.rows);
        self.ranked.clear();
        self.paused = 0;
        self.failed.clear();
        self.constraint_count = study.header().limits.len();
        self.pending.clear();
        self.replicates = 0;
        for (at, trial) in study.trials().iter().enumerate() {
            let mut row = self.pending_row(&trial.params);
            if let Some(first) = trial.origin.first_of_configuration() {
                row.outcome = Outcome::Replicate;
                row.original = Some(first.0.saturating_sub(1));
                self.replicates += 1;
            }
            // Curves are kept: each was collected report by report and cannot be rebuilt here.
            if let Some(old) = old.get(at) {
                (row.curve, row.judged_points) = (old.curve.clone(), old.judged_points);
            }
            self.rows.push(row);
        }
        // Scored after all rows exist; replicates are covered by their original trial.
        for trial in study
            .trials()
            .iter()
            .filter(|trial| study.configuration(trial.id) == trial.id)
        {
            self.update_outcome(study, trial.id);
        }
    }

    /// Appends a report of a running trial to its curve.
    fn extend_curve(&mut self, study: &Study, id: TrialId) {
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
        // The last point is replaced until it is a quarter above the one before.
        let is_free = count >= 2 && count > row.judged_points;
        if is_free && row.curve[count - 1].0 < row.curve[count - 2].0 * CURVE_SPACING {
            row.curve.pop();
        }
        row.curve.push((step, value.get()));
        self.furthest = self.furthest.max(step);
    }

    /// Recomputes the outcome, violation and rank of the configuration of trial `id`.
    fn update_outcome(&mut self, study: &Study, id: TrialId) {
        let Some(trial) = study.trial(id) else { return };
        let at = index(id) as u32;
        let Some(row) = self.rows.get(at as usize) else {
            return;
        };
        if let Some(score) = row.score() {
            // The row leaves its old place before its score changes; it is found by binary search
            // there.
            let place = self
                .ranked
                .partition_point(|other| before(*other, (score, at)));
            self.ranked.remove(place);
            self.paused -= usize::from(row.paused);
        }
        if row.outcome == Outcome::Failed {
            self.failed.retain(|failed| *failed != at);
        }
        self.pending.remove(&at);
        let outcome = self.outcome_of(study, trial, row);
        // A complete configuration is scored by the mean over its replicates.
        let standing = study
            .standing(id)
            .filter(|_| trial.state == TrialState::Complete);
        let row = &mut self.rows[at as usize];
        row.seeds = standing.as_ref().map_or(1, |standing| standing.seeds);
        if self.constraint_count > 0 {
            let limits = &study.header().limits;
            row.violation = standing
                .as_ref()
                .map_or_else(|| trial.violation(limits), |standing| standing.violation);
            row.excess = limits
                .iter()
                .map(|limit| {
                    let value = match &standing {
                        Some(_) => study.constrained_mean(id, limit),
                        None => trial.constrained_value(limit),
                    };
                    value.map_or(f64::NAN, |value| limit.excess(value))
                })
                .collect();
        }
        row.paused = trial.state == TrialState::Paused;
        row.unfinished = matches!(trial.state, TrialState::Stopped | TrialState::Paused);
        row.outcome = outcome;
        row.failure = failure_class(trial).filter(|_| row.outcome == Outcome::Failed);
        match (&row.outcome, row.score()) {
            (Outcome::Pending, _) => drop(self.pending.insert(at)),
            (Outcome::Failed, _) => self.failed.push(at),
            (_, Some(score)) => {
                let place = self
                    .ranked
                    .partition_point(|other| before(*other, (score, at)));
                self.ranked.insert(place, (score, at));
                self.paused += usize::from(row.paused);
            }
            _ => {}
        }
    }

    /// Returns the outcome of a trial that is not a replicate.
    fn outcome_of(&self, study: &Study, trial: &Trial, row: &Row) -> Outcome {
        if trial.outside {
            return Outcome::Outside;
        }
        match trial.state {
            TrialState::Waiting | TrialState::Running => Outcome::Pending,
            // A configuration that cannot work is to be avoided as one that failed.
            TrialState::Failed | TrialState::Invalid => match failure_class(trial) {
                Some(FailureClass::Lost | FailureClass::Spawn) => Outcome::Uninformative,
                _ => Outcome::Failed,
            },
            TrialState::Complete => {
                let standing = study.standing(trial.id).map(|standing| standing.scores);
                standing.map_or(Outcome::Failed, |scores| Outcome::Scored(scores.into()))
            }
            TrialState::Stopped | TrialState::Paused => match trial.scores(&self.objectives) {
                Some(scores) => {
                    let mut scores: Box<[f64]> = scores.iter().map(|score| score.get()).collect();
                    if let (Some(first), Some(guess)) =
                        (scores.first_mut(), self.estimated_final_score(row))
                    {
                        *first = guess;
                    }
                    Outcome::Scored(scores)
                }
                None if trial.state == TrialState::Paused => Outcome::Pending,
                None => Outcome::Failed,
            },
        }
    }

    /// Estimates the final score of a stopped or paused trial. Its rank among complete trials at
    /// its last step is mapped to the final score of the same rank. At most [`MAX_PEERS`] complete
    /// trials are compared, the best ones. With fewer than three the last value is returned; `None`
    /// without any report.
    fn estimated_final_score(&self, row: &Row) -> Option<f64> {
        let (step, value) = *row.curve.last()?;
        let peers = self
            .ranked
            .iter()
            .map(|(_, at)| self.row(*at))
            .filter(|peer| !peer.unfinished);
        let (mut values, mut finals): (Vec<f64>, Vec<f64>) = peers
            .take(MAX_PEERS)
            .filter_map(|peer| Some((peer.value_at(step)?, peer.score()?)))
            .unzip();
        if values.len() < 3 {
            return Some(value);
        }
        values.sort_by(f64::total_cmp);
        finals.sort_by(f64::total_cmp);
        let rank = values.partition_point(|other| *other < value);
        let last = values.len() - 1;
        // Worse than all complete trials at this step: the worst final score plus the distance, so
        // that such trials still differ.
        Some(if rank > last {
            finals[last] + (value - values[last]).max(0.0)
        } else {
            finals[rank]
        })
    }
}

/// Returns the class of the failure with which a trial ended.
fn failure_class(trial: &Trial) -> Option<FailureClass> {
    match (&trial.exit, &trial.state) {
        (Some(Exit::Failed(failure)), _) => Some(failure.class()),
        (Some(Exit::Lost), _) => Some(FailureClass::Lost),
        (_, TrialState::Complete) => Some(FailureClass::Objective),
        _ => None,
    }
}

/// Returns the row index of a trial.
fn index(id: TrialId) -> usize {
    (id.0 as usize).wrapping_sub(1)
}

/// Returns whether `a` ranks before `b`: by score, then by age.
fn before(a: (f64, u32), b: (f64, u32)) -> bool {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).is_lt()
}

/// Returns, of shape (d), whether each coordinate is inactive in any of 128 probe configurations.
fn sometimes_absent(space: &Space) -> Vec<bool> {
    let points = swath_numerics::sobol::Sobol::new(space.dims(), 1);
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

/// The cells of an axis with a finite number of values.
struct Cells {
    /// The encoded coordinate of each value, in ascending order.
    centres: Vec<f64>,
    /// The lower edge of each cell but the first.
    edges: Vec<f64>,
}

impl Cells {
    /// Axes with more cells are treated as continuous here.
    const MOST: u64 = 1024;

    /// Returns the cells of an axis, or `None` for a continuous or very fine one.
    fn new(space: &Space, axis: usize) -> Option<Self> {
        let centres: Vec<f64> = match &space.axes()[axis].kind {
            AxisKind::Ordered(n) if (1..=Self::MOST).contains(n) => (0..*n)
                .map(|at| space.cell(axis, at))
                .collect::<Option<_>>()?,
            AxisKind::Choice(weights) => (0..weights.len()).map(|at| centre(at, weights)).collect(),
            _ => return None,
        };
        // Each centre is in the middle of its cell, so the edges follow from the centres.
        let mut edge = 0.0;
        let mut edges: Vec<f64> = Vec::new();
        for centre in &centres {
            edge = 2.0 * centre - edge;
            edges.push(edge);
        }
        edges.pop();
        Some(Self { centres, edges })
    }

    /// Returns the centre of the cell that contains `x`.
    fn snap(&self, x: f64) -> f64 {
        self.centres[self.edges.partition_point(|edge| *edge <= x)]
    }
}

/// Returns the index of the choice whose share of the unit interval contains `x`. Choices of weight
/// 0 have no share; values from 1 on belong to the last choice with a share.
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

/// Returns the midpoint of the share of choice `at` in the unit interval.
pub(super) fn centre(at: usize, weights: &[f64]) -> f64 {
    weights[..at].iter().sum::<f64>() + weights[at] / 2.0
}

#[cfg(test)]
mod tests;
