//! The money and the GPU time that trials have used.

use super::Spending;
use super::component::Component;
use swath_model::study::{Closing, Event, Origin, Study, Timestamp, Trial};

const HOUR: f64 = 3600.0;

/// The budget of money and GPU time, and the use of the attempts that have ended.
#[derive(Default)]
pub(super) struct Spent {
    spending: Spending,
    /// Run time of all ended attempts, in seconds.
    seconds: f64,
    /// Reported cost of all trials that do not run.
    cost: f64,
}

impl Component for Spent {
    fn on(&mut self, study: &Study, event: &Event) {
        let Some(trial) = event.trial().and_then(|id| study.trial(id)) else {
            return;
        };
        match event {
            Event::Started { .. } => self.cost -= cost(study, trial),
            Event::Ended { usage, .. } => {
                self.cost += cost(study, trial);
                if let (Some(started), Some(ended)) = (trial.attempt_at, study.at()) {
                    self.seconds += usage.run_time(started, ended);
                }
            }
            _ => {}
        }
    }
}

/// Returns the cost that a trial has reported; 0 if trials do not report it.
fn cost(study: &Study, trial: &Trial) -> f64 {
    let price = study.header().price.as_ref();
    price.map_or(0.0, |price| trial.cost(price))
}

impl Spent {
    /// Returns the state that following the study's events so far would have led to.
    pub(super) fn of(spending: Spending, study: &Study) -> Self {
        // Imported trials used nothing here.
        let trials = study
            .trials()
            .iter()
            .filter(|trial| !matches!(trial.origin, Origin::Imported(_)));
        let running = study.running().filter_map(|id| study.trial(id));
        Self {
            spending,
            seconds: trials.clone().map(|trial| trial.seconds).sum(),
            cost: trials.map(|trial| cost(study, trial)).sum::<f64>()
                - running.map(|trial| cost(study, trial)).sum::<f64>(),
        }
    }

    /// Returns the run time of all attempts up to `now`, in hours.
    fn hours(&self, study: &Study, now: Timestamp) -> f64 {
        let running = study.running().filter_map(|id| study.trial(id)?.attempt_at);
        let seconds = running.map(|started| now.since(started).as_secs_f64());
        (self.seconds + seconds.sum::<f64>()) / HOUR
    }

    /// Returns the cost of all trials up to `now`.
    fn total_cost(&self, study: &Study, now: Timestamp) -> f64 {
        let running = study.running().filter_map(|id| study.trial(id));
        let reported = self.cost + running.map(|trial| cost(study, trial)).sum::<f64>();
        let hourly = self.spending.hourly.unwrap_or_default();
        reported + hourly * self.hours(study, now)
    }

    /// Returns the budget that is used up, if one is.
    pub(super) fn closing(&self, study: &Study, now: Timestamp) -> Option<Closing> {
        let Spending {
            cost,
            gpu_hours,
            gpus,
            ..
        } = self.spending;
        if cost.is_some_and(|most| self.total_cost(study, now) >= most) {
            return Some(Closing::CostLimit);
        }
        gpu_hours
            .is_some_and(|most| gpus * self.hours(study, now) >= most)
            .then_some(Closing::GpuLimit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;
    use swath_model::study::{Attempt, Exit, Failure, Header};

    #[test]
    fn the_cost_of_an_attempt_stays_paid_when_its_trial_starts_anew() {
        let mut demo = Demo::new(&[]);
        let header = Header {
            price: Some("usd".into()),
            ..demo.study.header().clone()
        };
        demo.event(Event::Edited {
            header,
            changes: Vec::new(),
            fill: Default::default(),
            outside: Vec::new(),
        });
        let spending = Spending {
            cost: Some(10.0),
            hourly: None,
            gpu_hours: None,
            gpus: 0.0,
        };
        let mut spent = Spent::of(spending, &demo.study);
        let begun = demo.entries.len();
        let trial = demo.start(&[]);
        demo.report(trial, &[("usd", 2.0)]);
        demo.report(trial, &[("usd", 4.0)]);
        demo.end(trial, Exit::Failed(Failure::Code(1)));
        demo.event(Event::requeued(trial, "retry"));
        demo.event(Event::Started {
            trial,
            attempt: Attempt(2),
            until: None,
            slot: 0,
            resume: false,
        });
        demo.report(trial, &[("usd", 3.0)]);
        // The component sees each event with the study that has applied it.
        let mut study = Demo::new(&[]).study;
        for (index, entry) in demo.entries.iter().enumerate().skip(1) {
            study.apply(entry).unwrap();
            if index >= begun {
                spent.on(&study, &entry.event);
            }
        }
        let now = study.at().unwrap();
        assert_eq!(spent.total_cost(&study, now), 7.0);
        assert_eq!(Spent::of(spending, &study).total_cost(&study, now), 7.0);
        assert_eq!(spent.closing(&study, now), None);
        demo.report(trial, &[("usd", 6.0)]);
        assert_eq!(
            spent.closing(&demo.study, now),
            Some(Closing::CostLimit),
            "a running trial counts"
        );
    }
}
