//! The median stopping rule: a trial ends when what it has shown so far is worse than the median of what complete trials had by the same point.
//!
//! After Golovin et al., *Google Vizier*, KDD 2017, section 3.2.2, with one change: trials are compared by what they had shown then (the
//! best, if `take = "best"`), not by the average of all they had reported, which lags behind a falling curve and lets hopeless trials go
//! on. Complete trials are those that others were measured by and passed, so the bar rises as a study goes on; comparing with everyone
//! who got as far keeps it where it was.

use super::gauge::{Gauge, Reading};
use super::{Judgement, Next, TrialScheduler};
use crate::study::{Event, Kind, Resource, Study, TrialId, TrialState, Verdict};
use std::collections::BTreeMap;

pub(super) const KIND: Kind<dyn TrialScheduler> = Kind {
    name: "median",
    about: "stops a trial that is worse than the median of the others at the same point",
    build: |mut section, setting, diagnostics| {
        let min = section.take_number("min", diagnostics).map_or(1.0, |(min, _)| min);
        let peers = section.take_count("peers", 1, diagnostics).map_or(5, |(peers, _)| peers as usize);
        let max = section.take_count("max", 1, diagnostics).map(|(max, _)| Resource(max));
        let gauge = Gauge::take(&mut section, setting, diagnostics);
        section.finish(diagnostics);
        let (points, courses) = (BTreeMap::new(), Vec::new());
        Some(Box::new(Median { gauge: gauge?, min, max, peers, points, courses }))
    },
};

/// What complete trials had shown at each whole step.
#[derive(Debug, Clone, PartialEq)]
struct Median {
    gauge: Gauge,
    /// Nobody is stopped before.
    min: f64,
    /// The most of the resource that a trial gets.
    max: Option<Resource>,
    /// Nobody is stopped without so many complete trials to compare with.
    peers: usize,
    /// At each whole amount of the resource, the scores that complete trials had there, sorted.
    points: BTreeMap<u64, Vec<f64>>,
    courses: Vec<Course>,
}

/// Where one trial is.
#[derive(Debug, Clone, Default, PartialEq)]
struct Course {
    /// What it had shown at each whole step, in order; a rerun is not entered twice. Empty once it is complete.
    shown: Vec<(u64, f64)>,
    /// The last step at which it has shown something.
    last: Option<u64>,
    standing: Option<String>,
    ending: bool,
}

impl Median {
    fn course(&mut self, trial: TrialId) -> Option<&mut Course> {
        self.courses.get_mut((trial.0 as usize).checked_sub(1)?)
    }

    fn arrive(&mut self, Reading { trial, at, score }: Reading) {
        let step = at.clamp(0.0, 1e15).floor() as u64;
        let Some(course) = self.course(trial) else { return };
        let decided = course.ending || course.standing.is_some();
        if course.last.is_none_or(|last| step > last) {
            course.last = Some(step);
            course.shown.push((step, score));
        }
        if decided || at < self.min {
            return;
        }
        let Some((median, count)) = self.median(step) else { return };
        if score > median {
            let bar = self.gauge.needed(median);
            let why =
                format!("{}, {bar}, the median of {count} complete trials", self.gauge.words(at, score));
            if let Some(course) = self.course(trial) {
                course.standing = Some(why);
            }
        }
    }

    /// Makes a trial that has ended one to compare with, if it is complete.
    fn ended(&mut self, trial: TrialId, complete: bool) {
        let Some(course) = self.course(trial) else { return };
        if !complete {
            return;
        }
        for (step, score) in std::mem::take(&mut course.shown) {
            let point = self.points.entry(step).or_default();
            point.insert(point.partition_point(|other| *other < score), score);
        }
    }

    /// Returns the median of the scores, and how many they are, at the last point up to `step` where enough have been.
    fn median(&self, step: u64) -> Option<(f64, usize)> {
        let enough = |point: &&Vec<f64>| point.len() >= self.peers;
        let point = self.points.range(..=step).rev().take(64).map(|(_, point)| point).find(enough)?;
        Some((point[point.len() / 2], point.len()))
    }
}

impl TrialScheduler for Median {
    fn observe(&mut self, study: &Study, event: &Event) {
        if let Some(reading) = self.gauge.observe(study, event) {
            self.arrive(reading);
        }
        match event {
            Event::Created { .. } => self.courses.push(Course::default()),
            Event::Started { trial, .. } => {
                let Some(course) = self.course(*trial) else { return };
                (course.standing, course.ending) = (None, false);
            }
            Event::Ended { trial, .. } => {
                let complete = study.trial(*trial).is_some_and(|found| found.state == TrialState::Complete);
                self.ended(*trial, complete);
            }
            Event::Judged { trial, verdict, .. } => {
                if let Some(course) = self.course(*trial) {
                    course.standing = None;
                    course.ending |= *verdict != Verdict::Continue;
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
        let course = (trial.0 as usize).checked_sub(1).and_then(|at| self.courses.get(at));
        match course.and_then(|course| course.standing.clone()) {
            Some(why) => Judgement { verdict: Verdict::Stop, why },
            None => Judgement { verdict: Verdict::Continue, why: String::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{Scenario, setting};
    use super::*;
    use crate::study::Exit;
    use Verdict::{Continue, Stop};

    #[test]
    fn a_trial_is_stopped_when_it_is_worse_than_the_median() {
        let mut world = Scenario::new("median", "min = 2\npeers = 3", &setting(false));
        for losses in [[0.9, 0.3], [0.8, 0.2], [0.7, 0.1]] {
            let trial = world.fresh();
            assert_eq!(world.report(trial, 1.0, losses[0]).verdict, Continue, "still warming up");
            assert_eq!(world.report(trial, 2.0, losses[1]).verdict, Continue, "not enough peers");
            world.end(trial, Exit::Done);
        }
        let (poor, fair) = (world.fresh(), world.fresh());
        world.report(poor, 1.0, 5.0);
        let judgement = world.report(poor, 2.0, 0.35);
        assert_eq!(judgement.verdict, Stop);
        assert_eq!(judgement.why, "epoch 2: 0.35, needed ≤ 0.2, the median of 3 complete trials");
        world.report(fair, 1.0, 5.0);
        assert_eq!(world.report(fair, 2.0, 0.15).verdict, Continue);
        assert_eq!(world.report(fair, 3.0, f64::NAN).verdict, Stop, "compared with those at epoch 2");
    }
}
