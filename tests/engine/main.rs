//! Tests of the library: the layers, the conformance suites, the journal under faults, and programs
//! as trials.

mod architecture;
mod conformance;
mod crash;
mod fuzz;
mod licences;
mod mlxp;
mod programs;
mod simulator;

#[path = "../../benches/search/play.rs"]
mod play;
