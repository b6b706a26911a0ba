//! Tests that run the binary as a person does.

mod ask_tell;
mod check;
mod disk;
mod full_disk;
mod kill;
mod provenance;
mod readme;
mod runtime;
mod sweeps;
mod warm_start;
