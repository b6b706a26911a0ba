//! The versions of a study's sweep file, by their digests.

use super::{header, points};
use crate::driver::{Limits, Parts, Retry};
use crate::journal::StudyDir;
use crate::source::Source;
use crate::study::Header;
use crate::sweep::{Plan, Registry, Rejected, Sweep};

/// Every version of the sweep file that a study has kept.
pub struct Versions {
    registry: Registry,
    texts: Vec<String>,
    name: String,
}

/// Why the parts of a version cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The study does not hold it.
    #[error("the study holds no sweep file with the digest {0}")]
    Missing(String),
    /// It cannot be used by this version of swath.
    #[error("the sweep file was rejected")]
    Rejected(Box<Rejected>),
}

impl Versions {
    /// Reads what a study has kept; its sweep files can name the kinds of `registry`.
    #[must_use]
    pub fn of(registry: &Registry, dir: &StudyDir) -> Self {
        let earlier = (1..)
            .map(|version| dir.sweep_version(version))
            .take_while(|path| path.exists());
        let paths = earlier.chain([dir.sweep_toml()]);
        let texts = paths
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .collect();
        Self {
            registry: registry.clone(),
            texts,
            name: dir.sweep_toml().display().to_string(),
        }
    }

    /// Returns the version with a digest.
    ///
    /// # Errors
    /// If that version was not kept, or cannot be used any more.
    pub fn sweep(&self, digest: &str) -> Result<Sweep, VersionError> {
        let mut rejected = None;
        for text in &self.texts {
            match self.read(text) {
                Ok(sweep) if sweep.digest == digest => return Ok(sweep),
                Ok(_) => {}
                Err(why) => rejected = Some(why),
            }
        }
        Err(match rejected {
            Some(why) => VersionError::Rejected(Box::new(why)),
            None => VersionError::Missing(digest.to_owned()),
        })
    }

    fn read(&self, text: &str) -> Result<Sweep, Rejected> {
        self.registry.parse_for_function(Source {
            name: self.name.clone(),
            text: text.to_owned(),
        })
    }

    /// Builds the parts that a header of the journal describes.
    ///
    /// # Errors
    /// If that version was not kept, or cannot be used any more.
    pub fn parts(&self, wanted: &Header) -> Result<Parts, VersionError> {
        let rejected = |rejected| VersionError::Rejected(Box::new(rejected));
        for text in &self.texts {
            let sweep = self.read(text).map_err(rejected)?;
            if sweep.digest != wanted.sweep {
                continue;
            }
            let Plan {
                sampler, scheduler, ..
            } = sweep.build(wanted.slots as usize, None).map_err(rejected)?;
            return Ok(Parts {
                header: Header {
                    git_commit: wanted.git_commit.clone(),
                    code_patch: wanted.code_patch.clone(),
                    ..header(&sweep, None, wanted.slots as usize)
                },
                space: sweep.space.clone(),
                points: points(&sweep),
                sampler_name: sweep.sampler.name.clone(),
                sampler,
                scheduler,
                limits: Limits::default(),
                retry: Retry::default(),
                workdir: std::path::PathBuf::new(),
                keep: sweep.run.keep,
                models: sweep.run.models,
                clones: false,
                grace: sweep.run.grace,
                elsewhere: false,
            });
        }
        Err(VersionError::Missing(wanted.sweep.clone()))
    }
}
