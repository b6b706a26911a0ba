//! Tests of the library: module layers, conformance suites, the journal under faults, and programs
//! as trials.

mod architecture;
mod conformance;
mod crash;
mod fuzz;
mod licences;
mod mlxp;
mod programs;
mod simulator;
mod stopped_trials;
mod virtual_study;

#[path = "../../benches/search/play.rs"]
mod play;
