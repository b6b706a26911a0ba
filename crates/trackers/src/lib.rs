//! The trackers that a sweep file can name in `[[tracker]]`, and the sources that it can name in
//! `[[source]]`. A tracker exports a study in the format of another tool. A source reads what a
//! program writes in the format of another tool.
//!
//! To add a tracker, write a module here with its `KIND` and list it in [`TRACKERS`]; a source
//! belongs in `source/` and in [`SOURCES`].

use swath_engine::tracker::{Tracker, TrackerError, home, metric_rows, retry, steps};
use swath_model::study::Kind;

mod block_log;
mod cmf;
mod hparams;
mod image;
mod mlflow;
mod program;
mod proto;
mod prov;
mod prov_graph;
mod source;
mod tensorboard;
#[cfg(test)]
mod tests;
mod trial_file;
mod wandb;
mod yprov;

pub use source::SOURCES;

/// All trackers that a sweep file can name in `[[tracker]]`.
pub const TRACKERS: &[Kind<dyn Tracker>] = &[
    mlflow::KIND,
    wandb::KIND,
    tensorboard::KIND,
    prov::KIND,
    cmf::KIND,
    program::KIND,
];
