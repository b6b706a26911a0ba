//! End-to-end tests that run the binary as a user does.

mod ask_tell;
mod budgets;
mod check;
mod command;
mod damaged_files;
mod disk;
mod documents;
mod escapes;
mod foreign;
mod full_disk;
mod init;
mod kill;
mod models;
mod pilots;
mod processes;
mod provenance;
mod readme;
mod runtime;
mod search_programs;
mod secrets;
mod shortage;
mod sources;
mod stop_trial;
mod stopping;
mod studies;
mod sweeps;
mod terminal;
mod trackers;
mod ui_requests;
mod verdicts;
mod warm_start;
mod workdir;

#[path = "../engine/fuzz/mutation.rs"]
mod mutation;
