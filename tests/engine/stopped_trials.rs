//! Trials that a person stops, under each scheduler.

use crate::virtual_study::{self, holder, script};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::rc::Rc;
use swath::driver::{Driver, Interrupt, Listener, Parts, inbox, replay};
use swath::executor::Simulated;
use swath::journal::StudyDir;
use swath::study::{Closing, Entry, Event, LogRecord, Study, TrialId, TrialState};

const SCHEDULERS: [&str; 6] = [
    "fifo",
    "asha max = 4\nreduction = 2\nmode = \"stopping\"",
    "asha max = 4\nreduction = 2",
    "hyperband max = 4\nreduction = 2",
    "median peers = 2",
    "pbt max = 4\ninterval = 1\npopulation = 4",
];

fn parts(scheduler: &str) -> Parts {
    let space = "x = { min = 0.0, max = 1.0 }";
    virtual_study::parts("seed = 5", ("random", 14), scheduler, space, 3)
}

/// A person who stops every fourth trial at its first report, and every second one of the others
/// while it is paused.
struct Person {
    dir: StudyDir,
    asked: Rc<RefCell<BTreeSet<TrialId>>>,
}

impl Person {
    fn is_to_stop(study: &Study, event: &Event) -> Option<TrialId> {
        let trial = study.trial(event.trial()?)?;
        let is_report = matches!(
            event,
            Event::Logged {
                record: LogRecord::Report { .. },
                ..
            }
        );
        let is_wanted = match trial.state {
            TrialState::Running => is_report && trial.id.0 % 4 == 1,
            TrialState::Paused => trial.id.0.is_multiple_of(2),
            _ => false,
        };
        (is_wanted && trial.can_stop()).then_some(trial.id)
    }
}

impl Listener for Person {
    fn entry(&mut self, study: &Study, entry: &Entry) {
        if let Some(trial) = Self::is_to_stop(study, &entry.event)
            && self.asked.borrow_mut().insert(trial)
        {
            let event = Event::stopped_by(trial, "anna", "box");
            inbox::send_event(&self.dir, &event, entry.at).expect("it can be sent");
        }
    }
}

#[test]
fn the_study_ends_without_the_stopped_trials_under_each_scheduler() {
    for scheduler in SCHEDULERS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (dir, asked) = (StudyDir::at(folder.path()), Rc::default());
        let mut executor = Simulated::new(3, script);
        let clock = Box::new(executor.clock());
        let mut driver =
            Driver::open(dir.clone(), parts(scheduler), &holder(), clock).expect("the study opens");
        driver.listen(Box::new(Person {
            dir: dir.clone(),
            asked: Rc::clone(&asked),
        }));
        let closing = driver.run(&mut executor, &Interrupt::default());
        assert_eq!(
            closing.expect("the study runs"),
            Closing::Finished,
            "{scheduler}"
        );
        let study = driver.study().clone();
        drop(driver);
        let stopped = |trial: &&TrialId| {
            let trial = study.trial(**trial).expect("it exists");
            trial.state == TrialState::Stopped && trial.reports > 0
        };
        let asked = asked.borrow();
        assert!(asked.len() >= 3, "{scheduler}: {asked:?}");
        // One that failed or said that it is invalid keeps that end.
        let count = asked.iter().filter(stopped).count();
        assert!(count >= 2, "{scheduler}: {count} of {asked:?}");
        let complete = study.counts().complete;
        assert!(complete > 0, "{scheduler}");
        let again = replay::replay(&dir, |_| Ok::<_, Infallible>(parts(scheduler)))
            .expect("the journal replays");
        assert_eq!(again.differences, [], "{scheduler}");
    }
}
