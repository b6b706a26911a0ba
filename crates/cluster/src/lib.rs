//! Execution of trials on clusters: a pilot in each job of a batch system starts trials for an
//! orchestrator that may come and go.

use swath_engine::executor::{Executor, ExecutorError, Share, Site, Work};
use swath_model::study::Kind;

mod command;
pub mod pilot;
mod slurm;

/// The executors that run trials on a cluster.
pub const EXECUTORS: &[Kind<dyn Site>] = &[slurm::KIND, command::KIND];
