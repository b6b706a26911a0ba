//! The median stopping rule: a trial is stopped when its result so far is worse than the median of
//! the results that complete trials had at the same point.
//!
//! After Golovin et al., *Google Vizier*, KDD 2017, section 3.2.2, with one change. Trials are
//! compared by their result at that point (the best one with `take = "best"`), not by the average
//! of all reports, which lags behind a falling curve and lets hopeless trials continue. The peers
//! are complete trials only. These have passed the same comparison themselves, so the bar rises as
//! the study goes on. A comparison with every trial that got as far would leave the bar where it
//! was.

use super::ranking::Ranking;
use super::report_reader::{self, Reading, ReportReader};
use super::{Judgement, MAX, Next, TrialScheduler};
use std::collections::BTreeMap;
use swath_model::source::{Opt, Preset, Takes};
use swath_model::study::{Event, Kind, Resource, Study, TrialId, TrialState, Verdict};

pub(super) const KIND: Kind<dyn TrialScheduler> = Kind {
    name: "median",
    about: "stops a trial that is worse than the median of the others at the same point",
    paper: Some(
        "Golovin et al., Google Vizier: A Service for Black-Box Optimization, KDD 2017, section 3.2.2",
    ),
    options: &[MIN, PEERS, MAX, report_reader::METRIC],
    capabilities: &[],
    build: |mut section, setting, diagnostics| {
        let min = section
            .take_number("min", diagnostics)
            .map_or(DEFAULT_MIN, |(min, _)| min);
        let peers = section
            .take_count("peers", 1, diagnostics)
            .map_or(DEFAULT_PEERS, |(peers, _)| peers) as usize;
        let max = section
            .take_count("max", 1, diagnostics)
            .map(|(max, _)| Resource(max));
        let reader = ReportReader::take(&mut section, setting, diagnostics);
        let (points, progress) = (BTreeMap::new(), Vec::new());
        Some(Box::new(Median {
            reader: reader?,
            min,
            max,
            peers,
            points,
            progress,
        }))
    },
};

/// The default of `min`: no trial is stopped before this resource.
const DEFAULT_MIN: f64 = 1.0;

/// The default of `peers`: the minimum number of complete trials for a median.
const DEFAULT_PEERS: u64 = 5;

/// Maximum number of earlier steps that are searched for one with enough complete trials. It bounds
/// the time of a verdict for programs that report at ever different steps.
const MAX_STEPS_BACK: usize = 64;

/// The option `min`.
const MIN: Opt = Opt::new(
    "min",
    Takes::Number,
    Preset::Number(DEFAULT_MIN),
    "the resource before which no trial is stopped",
);

/// The option `peers`.
const PEERS: Opt = Opt::new(
    "peers",
    Takes::Count(1),
    Preset::Count(DEFAULT_PEERS),
    "how many complete trials must have reported at the same point before one is stopped there",
);

/// The scheduler: the results of complete trials at each whole step, and the progress of every
/// trial.
#[derive(Debug, Clone, PartialEq)]
struct Median {
    /// Reads resource and objectives from the reports.
    reader: ReportReader,
    /// No trial is stopped before this resource.
    min: f64,
    /// The maximum resource of a trial; `None` if trials end by themselves.
    max: Option<Resource>,
    /// The minimum number of complete trials to compare with.
    peers: usize,
    /// For each whole step of the resource, the complete trials ranked by their results there.
    points: BTreeMap<u64, Ranking>,
    /// The progress of each trial. The index is the trial id minus one.
    progress: Vec<Progress>,
}

/// The progress of one trial.
#[derive(Debug, Clone, Default, PartialEq)]
struct Progress {
    /// The scores at each whole step, ascending. A rerun does not enter a step twice. Empty once
    /// the trial is complete.
    shown: Vec<(u64, Vec<f64>)>,
    /// The last step with scores.
    last: Option<u64>,
    /// The reason of a stop that is not yet committed as `Judged`.
    uncommitted: Option<String>,
    /// Whether the attempt was judged to end and has not exited yet.
    ending: bool,
}

impl Median {
    /// Returns the progress of a trial; `None` for an unknown one.
    fn progress(&mut self, trial: TrialId) -> Option<&mut Progress> {
        self.progress.get_mut((trial.0 as usize).checked_sub(1)?)
    }

    /// Records the scores of a trial and decides whether it is stopped.
    fn arrive(&mut self, Reading { trial, at, scores }: Reading) {
        let step = at.clamp(0.0, 1e15).floor() as u64;
        let Some(progress) = self.progress(trial) else {
            return;
        };
        let decided = progress.ending || progress.uncommitted.is_some();
        if progress.last.is_none_or(|last| step > last) {
            progress.last = Some(step);
            progress.shown.push((step, scores.clone()));
        }
        if decided || at < self.min {
            return;
        }
        let Some(bar) = self
            .peers(step)
            .and_then(|peers| self.bar(peers, &scores, trial))
        else {
            return;
        };
        let why = format!("{}, {bar}", self.reader.describe(at, &scores));
        if let Some(progress) = self.progress(trial) {
            progress.uncommitted = Some(why);
        }
    }

    /// Returns in words the bar that a trial missed, or `None` if it is not worse than the median
    /// of its peers. With several objectives, a trial that no peer dominates is never worse.
    fn bar(&self, peers: &Ranking, scores: &[f64], trial: TrialId) -> Option<String> {
        let count = peers.len();
        if let Some(median) = peers.score(count / 2) {
            let bar = self.reader.describe_bound(median);
            let is_worse = scores.first().is_some_and(|score| *score > median);
            return is_worse.then(|| format!("{bar}, the median of {count} complete trials"));
        }
        let (front, rank) = (peers.front(scores), peers.place(scores, trial));
        let is_worse = front != Some(0) && rank > count / 2;
        is_worse.then(|| {
            format!(
                "dominated, rank {} of {} among the complete trials",
                rank + 1,
                count + 1
            )
        })
    }

    /// Moves the results of a complete trial to the ones that others are compared with.
    fn ended(&mut self, trial: TrialId, complete: bool) {
        if !complete {
            return;
        }
        let objectives = self.reader.objectives();
        let shown = self
            .progress(trial)
            .map(|progress| std::mem::take(&mut progress.shown));
        for (step, scores) in shown.unwrap_or_default() {
            let point = self
                .points
                .entry(step)
                .or_insert_with(|| Ranking::of(objectives));
            point.add(&scores, trial);
        }
    }

    /// Returns the complete trials at the last step up to `step` at which enough of them have
    /// results. At most [`MAX_STEPS_BACK`] steps are examined.
    fn peers(&self, step: u64) -> Option<&Ranking> {
        let earlier = self.points.range(..=step).rev().take(MAX_STEPS_BACK);
        earlier
            .map(|(_, point)| point)
            .find(|point| point.len() >= self.peers)
    }
}

impl TrialScheduler for Median {
    fn observe(&mut self, study: &Study, event: &Event) {
        if let Some(reading) = self.reader.observe(study, event) {
            self.arrive(reading);
        }
        match event {
            Event::Created { .. } => self.progress.push(Progress::default()),
            Event::Started { trial, .. } => {
                let Some(progress) = self.progress(*trial) else {
                    return;
                };
                (progress.uncommitted, progress.ending) = (None, false);
            }
            Event::Ended { trial, .. } => {
                let complete = study
                    .trial(*trial)
                    .is_some_and(|trial| trial.state == TrialState::Complete);
                self.ended(*trial, complete);
            }
            Event::Judged { trial, verdict, .. } => {
                if let Some(progress) = self.progress(*trial) {
                    progress.uncommitted = None;
                    progress.ending |= *verdict != Verdict::Continue;
                }
            }
            _ => {}
        }
    }

    fn next(&self, study: &Study, room: bool) -> Next {
        super::fresh_while(room, study)
    }

    fn until(&self, _: &Study, _: TrialId) -> Option<Resource> {
        self.max
    }

    fn max(&self) -> Option<Resource> {
        self.max
    }

    fn verdict(&self, _: &Study, trial: TrialId) -> Judgement {
        let progress = (trial.0 as usize)
            .checked_sub(1)
            .and_then(|at| self.progress.get(at));
        match progress.and_then(|progress| progress.uncommitted.clone()) {
            Some(why) => Judgement {
                verdict: Verdict::Stop,
                why,
            },
            None => Judgement {
                verdict: Verdict::Continue,
                why: String::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{Scenario, setting};
    use super::*;
    use Verdict::{Continue, Stop};
    use swath_model::study::{Exit, Setting};

    #[test]
    fn a_trial_is_stopped_when_it_is_worse_than_the_median() {
        let mut world = Scenario::new("median", "min = 2\npeers = 3", &setting(false));
        for losses in [[0.9, 0.3], [0.8, 0.2], [0.7, 0.1]] {
            let trial = world.fresh();
            assert_eq!(
                world.report(trial, 1.0, losses[0]).verdict,
                Continue,
                "still warming up"
            );
            assert_eq!(
                world.report(trial, 2.0, losses[1]).verdict,
                Continue,
                "not enough peers"
            );
            world.end(trial, Exit::Done);
        }
        let (poor, fair) = (world.fresh(), world.fresh());
        world.report(poor, 1.0, 5.0);
        let judgement = world.report(poor, 2.0, 0.35);
        assert_eq!(judgement.verdict, Stop);
        assert_eq!(
            judgement.why,
            "epoch 2: 0.35, needed ≤ 0.2, the median of 3 complete trials"
        );
        world.report(fair, 1.0, 5.0);
        assert_eq!(world.report(fair, 2.0, 0.15).verdict, Continue);
        assert_eq!(
            world.report(fair, 3.0, f64::NAN).verdict,
            Stop,
            "compared with those at epoch 2"
        );
    }

    /// Starts a trial and reports its loss and speed at epoch 1.
    fn report_fresh(world: &mut Scenario, loss: f64, speed: f64) -> (TrialId, Judgement) {
        let trial = world.fresh();
        let values = [("epoch", 1.0), ("loss", loss), ("speed", speed)];
        (trial, world.report_values(trial, &values))
    }

    #[test]
    fn with_several_objectives_a_dominated_trial_in_the_worse_half_is_stopped() {
        let objectives = super::super::scenario::several();
        let setting = Setting {
            objectives,
            ..setting(false)
        };
        let mut world = Scenario::new("median", "peers = 3", &setting);
        for (loss, speed) in [(0.1, 1.0), (0.2, 2.0), (0.3, 3.0)] {
            let (trial, _) = report_fresh(&mut world, loss, speed);
            world.end(trial, Exit::Done);
        }
        assert_eq!(
            report_fresh(&mut world, 0.9, 3.5).1.verdict,
            Continue,
            "none is as fast"
        );
        let (_, judgement) = report_fresh(&mut world, 0.25, 1.5);
        assert_eq!(
            judgement.verdict, Stop,
            "its loss alone is as good as the median"
        );
        assert_eq!(
            judgement.why,
            "epoch 1: loss 0.25, speed 1.5, dominated, rank 4 of 4 among the complete trials"
        );
    }
}
