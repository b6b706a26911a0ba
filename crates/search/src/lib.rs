//! Search methods: samplers propose configurations, and trial schedulers decide how long each trial
//! may run. Both learn from the events of a study and are pure functions of what they observed.

pub mod companion;
mod dialogue;
pub mod sampler;
pub mod scheduler;
