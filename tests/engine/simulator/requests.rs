//! Requests of other processes to a run of the simulator: to stop, to run fewer trials at a time, or
//! half of one; and a configuration that is added before the first life.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::fs;
use swath::driver::{Control, Urgency, inbox};
use swath::journal::StudyDir;
use swath::space::{Params, Value};
use swath::study::{Origin, Study, Timestamp};

/// Sends a request to the run of a study.
pub(crate) fn send(dir: &StudyDir, rng: &mut ChaCha8Rng) {
    let stop = match rng.random_range(0..5) {
        0 => Some(Urgency::Drain),
        1 => Some(Urgency::Stop),
        2 => Some(Urgency::Kill),
        3 => None,
        _ => return fs::write(dir.root().join("control.json"), r#"{"sto"#).unwrap(),
    };
    let jobs = rng.random_range(1..4);
    let jobs = stop.is_none().then_some(jobs);
    Control { stop, jobs }.send(dir).unwrap();
}

/// Adds a configuration, which becomes the first trial.
pub(crate) fn add_configuration(dir: &StudyDir) {
    let given = Params::from_iter([("x".into(), Value::Float(0.25))]);
    inbox::send(dir, &given, Timestamp::from_micros(7)).unwrap();
}

/// Returns the number of trials whose configuration was added.
pub(crate) fn count_added(study: &Study) -> usize {
    let trials = study.trials().iter();
    let added = trials.filter(|trial| matches!(trial.origin, Origin::Added | Origin::Sent(_)));
    added.count()
}
