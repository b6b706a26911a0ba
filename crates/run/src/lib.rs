//! A sweep from its file to the closed study: the checked sweep file, the registry of the kinds
//! that it can name, and the run.

use swath_cluster as cluster;
use swath_engine::{driver, executor, journal, provenance, tracker};
use swath_log as logger;
use swath_model::{source, space, study};
use swath_numerics as numerics;
use swath_search::{sampler, scheduler};
use swath_trackers as trackers;

pub mod run;
pub mod sweep;
