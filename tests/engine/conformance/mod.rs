//! One conformance suite for each trait, run over every implementation in its registry.

mod executor;
mod outcomes;
mod sampler;
mod scheduler;
mod tracker;
