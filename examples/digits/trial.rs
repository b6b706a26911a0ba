//! The interface between `swath` and a trial: environment variables in, records out. A program
//! started by hand uses defaults for all of it and records nothing.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// This process as a trial, with its settings from the environment.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) data_dir: PathBuf,
    pub(crate) seed: u64,
    /// The last epoch of this attempt; `None` if the options decide.
    pub(crate) until: Option<u64>,
    folder: Option<PathBuf>,
    checkpoints: Option<PathBuf>,
    resume: bool,
    records: Option<File>,
}

impl Trial {
    pub(crate) fn from_env() -> io::Result<Self> {
        let records = match path("SWATH_RECORDS") {
            Some(file) => Some(OpenOptions::new().create(true).append(true).open(file)?),
            None => None,
        };
        Ok(Self {
            data_dir: path("SWATH_DATA_DIR").unwrap_or_else(|| "data/digits".into()),
            seed: env::var("SWATH_SEED")
                .ok()
                .and_then(|seed| seed.parse().ok())
                .unwrap_or(0),
            until: env::var("SWATH_UNTIL")
                .ok()
                .and_then(|until| until.parse::<f64>().ok())
                .map(|until| until as u64),
            folder: path("SWATH_TRIAL_DIR"),
            checkpoints: path("SWATH_CHECKPOINT_DIR"),
            resume: path("SWATH_RESUME").is_some_and(|value| value.as_os_str() != "0"),
            records,
        })
    }

    /// Returns the path of the checkpoint, if the trial has a folder for checkpoints.
    pub(crate) fn checkpoint(&self) -> Option<PathBuf> {
        self.checkpoints
            .as_ref()
            .map(|folder| folder.join("training.bin"))
    }

    /// Returns the checkpoint to resume from, if this attempt resumes and the file exists.
    pub(crate) fn checkpoint_to_resume(&self) -> Option<PathBuf> {
        self.checkpoint()
            .filter(|path| self.resume && path.exists())
    }

    /// Returns the path of the model: `chosen` if the user chose one, else a path for the trial, or
    /// `None` for a program started by hand.
    ///
    /// A `model_path` must lie inside the working directory, so a trial whose folder is elsewhere
    /// puts its model under `models/`.
    pub(crate) fn model_path(&self, chosen: Option<&Path>) -> Option<PathBuf> {
        if let Some(path) = chosen {
            return Some(path.to_owned());
        }
        let folder = self.folder.as_ref()?;
        let workdir = env::current_dir().ok()?;
        Some(match workdir.join(folder).strip_prefix(&workdir) {
            Ok(inside) => inside.join("artifacts/model.bin"),
            Err(_) => {
                let [study, trial] =
                    ["SWATH_STUDY", "SWATH_TRIAL"].map(|name| env::var(name).unwrap_or_default());
                format!("models/{study}-{trial}.bin").into()
            }
        })
    }

    /// Returns whether this trial should end early, which the file `stop` in its folder requests.
    pub(crate) fn stopping(&self) -> bool {
        self.folder
            .as_ref()
            .is_some_and(|folder| folder.join("stop").exists())
    }

    pub(crate) fn report(&mut self, values: &[(&str, f64)]) -> io::Result<()> {
        let values: Vec<String> = values
            .iter()
            .map(|(name, value)| match value.is_finite() {
                true => format!("\"{name}\": {value}"),
                false => format!("\"{name}\": \"nan\""),
            })
            .collect();
        self.record(&format!("{{{}}}\n", values.join(", ")))
    }

    pub(crate) fn model(&mut self, path: &Path) -> io::Result<()> {
        self.record(&format!(
            "{{\"kind\": \"model\", \"model_path\": \"{}\"}}\n",
            path.display()
        ))
    }

    fn record(&mut self, line: &str) -> io::Result<()> {
        self.records
            .as_mut()
            .map_or(Ok(()), |file| file.write_all(line.as_bytes()))
    }
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
