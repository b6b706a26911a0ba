//! `swath`: hyperparameter sweeps with trial logging.
//!
//! A **sweep** file defines the search and its settings. A `sampler` proposes configurations from
//! its [`space`], and a `scheduler` decides how long each **trial** may run. An `executor` runs the
//! trials. Every trial has a logger bound to its pipeline, stage and trial id. Executors and
//! loggers send events to one driver. The driver appends each event to the journal, folds it into
//! the [`study`], informs the sampler and the scheduler, and passes it on to the `tracker`s.
//!
//! The [`prelude`] has what most programs need. Cargo features: `cli` (default) is the whole
//! binary; `engine` alone runs and reads studies from Rust; without features only the logger and
//! the types of a study are left, which is what a training program compiles.
//!
//! # Tune a function
//!
//! The same study and the same files as with a program, without other processes:
//!
#![cfg_attr(feature = "engine", doc = "```")]
#![cfg_attr(not(feature = "engine"), doc = "```ignore")]
//! use swath::prelude::*;
//!
//! let text = r#"
//! name = "valley"
//! objective = { metric = "loss", goal = "min" }
//! search = { sampler = "random", trials = 8 }
//! [space]
//! lr = { min = 1e-4, max = 1e-1, log = true }
//! layers = [1, 2, 3]
//! "#;
//! let sweep = Sweep::parse_for_function(Source { name: "valley.toml".into(), text: text.into() })?;
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     lr: f64,
//!     layers: u32,
//! }
//!
//! # let folder = tempfile::tempdir()?;
//! # let logs = folder.path();
//! let study = run::closure(&sweep, Options::at(logs), |trial, log| {
//!     let config: Config = trial.config()?; // or trial.float("lr")?
//!     for epoch in 1..=3 {
//!         let loss = config.lr / f64::from(epoch * config.layers);
//!         if log.report(&[("epoch", epoch.into()), ("loss", loss)])? != Directive::Continue {
//!             break;
//!         }
//!     }
//!     Ok(())
//! })?;
//! let best = study.incumbent().expect("a trial has succeeded");
//! assert_eq!(best.reports, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Read a study
//!
//! A study is read without taking anything from a run that writes it:
//!
#![cfg_attr(feature = "engine", doc = "```no_run")]
#![cfg_attr(not(feature = "engine"), doc = "```ignore")]
//! use swath::prelude::*;
//!
//! let study = journal::read(&StudyDir::at("logs/digits"))?;
//! for trial in study.best(3) {
//!     let model = trial.model_that_counts().map_or("no model", |model| model.path);
//!     println!("trial {}: {:?} {model}", trial.id, trial.scores(&study.header().objectives));
//! }
//! # Ok::<(), JournalError>(())
//! ```
//!
//! # Own the loop: ask and tell
//!
//! A program that has a loop of its own asks for configurations and tells the results. Any other
//! language speaks the same by `swath ask-tell`.
//!
#![cfg_attr(feature = "engine", doc = "```")]
#![cfg_attr(not(feature = "engine"), doc = "```ignore")]
//! use swath::prelude::*;
//!
//! let text = "name = \"bowl\"\nobjective = { metric = \"loss\", goal = \"min\" }\n\
//!             search = { trials = 10 }\n[space]\nx = { min = -1.0, max = 1.0 }\n";
//! let source = Source { name: "bowl.toml".into(), text: text.into() };
//! let sweep = Sweep::parse_for_function(source)?;
//!
//! # let folder = tempfile::tempdir()?;
//! # let logs = folder.path();
//! let mut study = AskTell::open(&sweep, Options::at(logs))?;
//! while let Offer::Trial(trial) = study.ask()? {
//!     let x = trial.params.get("x").and_then(Value::as_f64).unwrap_or(0.0);
//!     study.tell(trial.trial, &[x * x])?;
//! }
//! assert_eq!(study.study().trials().len(), 10);
//! study.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Log from a program that swath starts
//!
//! ```no_run
//! use swath::prelude::*;
//!
//! // `None` if swath did not start this process.
//! if let Some(mut log) = TrialLogger::from_env()? {
//!     log.report(&[("epoch", 1.0), ("val_loss", 0.25)])?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Add a sampler, a scheduler, an executor or a tracker
//!
//! A crate of your own adds a `Kind` to a `Registry` in one line; sweep files can then name it.
//! `examples/kinds` adds one of each.
//!
#![cfg_attr(feature = "engine", doc = "```")]
#![cfg_attr(not(feature = "engine"), doc = "```ignore")]
//! use swath::prelude::*;
//! use swath::sampler::{Ask, Sampler};
//! use swath::space::Params;
//! use swath::study::Kind;
//!
//! struct Middle;
//!
//! impl Sampler for Middle {
//!     fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
//!         ask.draw(|| vec![0.5; ask.space.dims()])
//!     }
//! }
//!
//! const MIDDLE: Kind<dyn Sampler> = Kind {
//!     name: "middle",
//!     about: "the middle of every range",
//!     paper: None,
//!     options: &[],
//!     capabilities: &[],
//!     build: |_, _, _| Some(Box::new(Middle)),
//! };
//!
//! let text = "objective = { metric = \"loss\", goal = \"min\" }\n\
//!             search = { sampler = \"middle\", trials = 1 }\n[space]\nx = { min = 0.0, max = 1.0 }\n";
//! let source = Source { name: "middle.toml".into(), text: text.into() };
//! let sweep = Registry::standard().sampler(MIDDLE).parse_for_function(source)?;
//! assert_eq!(sweep.sampler.name, "middle");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A tracker is a type with the methods `init`, `log` and `close`, and some more, such as `param`,
//! `model` and `end`. It is told reports and metrics, and the sweep file selects the rows of metrics
//! with `log_freq` and `log_on_workers`, as for the trackers of swath:
//!
#![cfg_attr(feature = "engine", doc = "```")]
#![cfg_attr(not(feature = "engine"), doc = "```ignore")]
//! use std::io::Write;
//! use swath::prelude::*;
//! use swath::tracker::{Logged, TrackerError, TrialTracker};
//!
//! /// Writes every number to a file.
//! #[derive(Default)]
//! struct Lines(Vec<u8>, std::path::PathBuf);
//!
//! impl TrialTracker for Lines {
//!     const NAME: &'static str = "lines";
//!
//!     fn init(&mut self, _: &Study, dir: &std::path::Path) -> Result<(), TrackerError> {
//!         self.1 = dir.join("lines.txt");
//!         Ok(())
//!     }
//!
//!     fn log(&mut self, trial: &Trial, logged: &Logged<'_>) -> Result<(), TrackerError> {
//!         for (name, number) in logged.numbers() {
//!             let line = (trial.id, logged.log, logged.step, name, number);
//!             writeln!(self.0, "{line:?}").map_err(|why| TrackerError::Other(why.to_string()))?;
//!         }
//!         Ok(())
//!     }
//!
//!     fn close(&mut self, _: &Study) -> Result<(), TrackerError> {
//!         std::fs::write(&self.1, &self.0).map_err(|why| TrackerError::Other(why.to_string()))
//!     }
//! }
//!
//! let text = "objective = { metric = \"loss\", goal = \"min\" }\nsearch = { trials = 2 }\n\
//!             tracker = [{ name = \"lines\", log_freq = \"epoch\" }]\n\
//!             [space]\nx = { min = 0.0, max = 1.0 }\n";
//! let source = Source { name: "lines.toml".into(), text: text.into() };
//! let sweep = Registry::standard().with_tracker::<Lines>().parse_for_function(source)?;
//!
//! # let folder = tempfile::tempdir()?;
//! # let logs = folder.path();
//! let mut study = AskTell::open(&sweep, Options::at(logs))?;
//! while let Offer::Trial(trial) = study.ask()? {
//!     let x = trial.params.get("x").and_then(Value::as_f64).unwrap_or(0.0);
//!     study.tell(trial.trial, &[x * x])?;
//! }
//! study.close()?;
//! let lines = std::fs::read_to_string(logs.join("lines/trackers/lines/lines.txt"))?;
//! assert_eq!(lines.lines().count(), 2, "one report of each trial");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A tracker that needs every entry of the journal, after the study has applied it, implements
//! `Tracker`:
//!
#![cfg_attr(feature = "engine", doc = "```")]
#![cfg_attr(not(feature = "engine"), doc = "```ignore")]
//! use swath::prelude::*;
//! use swath::study::{Entry, Kind};
//! use swath::tracker::{Tracker, TrackerError};
//!
//! /// Counts the entries of the journal.
//! #[derive(Default)]
//! struct Count(u64);
//!
//! impl Tracker for Count {
//!     fn record(&mut self, _: &Study, _: &Entry) -> Result<(), TrackerError> {
//!         self.0 += 1;
//!         Ok(())
//!     }
//!
//!     fn sync(&mut self, study: &Study) -> Result<(), TrackerError> {
//!         println!("{}: {} entries", study.header().name, self.0);
//!         Ok(())
//!     }
//! }
//!
//! const COUNT: Kind<dyn Tracker> = Kind {
//!     name: "count",
//!     about: "prints the number of journal entries",
//!     paper: None,
//!     options: &[],
//!     capabilities: &[],
//!     build: |_, _, _| Some(Box::new(Count::default())),
//! };
//!
//! let text = "objective = { metric = \"loss\", goal = \"min\" }\nsearch = { trials = 1 }\n\
//!             tracker = [{ name = \"count\" }]\n[space]\nx = { min = 0.0, max = 1.0 }\n";
//! let source = Source { name: "counted.toml".into(), text: text.into() };
//! Registry::standard().tracker(COUNT).parse_for_function(source)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// The types and modules that most programs need: `use swath::prelude::*;`.
pub mod prelude {
    #[cfg(feature = "engine")]
    pub use crate::journal::{self, JournalError, StudyDir};
    pub use crate::logger::{Directive, Point, TrialLogger};
    #[cfg(feature = "engine")]
    pub use crate::run::{self, AskTell, Offer, Options};
    #[cfg(feature = "engine")]
    pub use crate::source::Source;
    pub use crate::space::{Params, Value};
    pub use crate::study::{Study, Trial, TrialId, TrialState};
    #[cfg(feature = "engine")]
    pub use crate::sweep::{Registry, Sweep};
}

#[cfg(feature = "cli")]
pub mod cli;

pub use swath_log as logger;
#[cfg(feature = "engine")]
pub use swath_model::source;
pub use swath_model::{space, study};
#[cfg(feature = "engine")]
pub use {
    swath_engine::{executor, journal, tracker},
    swath_import as import, swath_report as report,
    swath_run::{run, sweep},
    swath_search::{sampler, scheduler},
};
// What the commands, tests and benchmarks need beyond that. Nothing here is promised to others.
#[cfg(feature = "engine")]
#[doc(hidden)]
pub use {
    swath_cluster as cluster,
    swath_engine::{driver, provenance},
    swath_numerics as numerics, swath_trackers as trackers,
};
