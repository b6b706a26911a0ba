//! Search methods: samplers propose configurations, and trial schedulers decide how long each trial
//! may run. Both learn from the events of a study and are pure functions of what they observed.

use swath_model::{source, space, study};
use swath_numerics as numerics;

mod dialogue;
pub mod sampler;
pub mod scheduler;
