//! The versions of a study's sweep file, by their digests.

use super::{header, parts};
use crate::sweep::{Plan, Registry, Rejected, Sweep, digest_of};
use swath_engine::driver::Parts;
use swath_engine::journal::StudyDir;
use swath_model::source::Source;
use swath_model::study::Header;

/// All versions of the sweep file that a study has kept.
pub struct Versions {
    registry: Registry,
    texts: Vec<String>,
    name: String,
}

/// An error that prevents the use of a version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// The study has no version with this digest.
    #[error("the study has no sweep file with the digest {0}")]
    Missing(String),
    /// This version of swath does not accept the sweep file.
    #[error("the sweep file was rejected")]
    Rejected(Box<Rejected>),
}

impl From<Rejected> for VersionError {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(Box::new(rejected))
    }
}

impl Versions {
    /// Reads the versions that a study has kept. Its sweep files can name the kinds of `registry`.
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

    /// Returns the version with the given digest.
    ///
    /// # Errors
    /// If the version was not kept, or this version of swath does not accept it.
    pub fn sweep(&self, digest: &str) -> Result<Sweep, VersionError> {
        let mut rejected = None;
        for text in &self.texts {
            match self.read(text) {
                Ok(sweep) if has_digest(&sweep, digest) => return Ok(sweep),
                Ok(_) => {}
                Err(why) => rejected = Some(why),
            }
        }
        Err(match rejected {
            Some(why) => why.into(),
            None => VersionError::Missing(digest.to_owned()),
        })
    }

    /// Parses a version of the sweep file.
    fn read(&self, text: &str) -> Result<Sweep, Rejected> {
        self.registry.parse_for_function(Source {
            name: self.name.clone(),
            text: text.to_owned(),
        })
    }

    /// Builds the parts that a header of the journal describes.
    ///
    /// # Errors
    /// If the version was not kept, or this version of swath does not accept it or one of the
    /// versions before it.
    pub fn parts(&self, recorded: &Header) -> Result<Parts, VersionError> {
        for text in &self.texts {
            let sweep = self.read(text)?;
            if !has_digest(&sweep, &recorded.sweep) {
                continue;
            }
            let Plan {
                sampler, scheduler, ..
            } = sweep.build(recorded.slots as usize, None)?;
            let header = Header {
                git_commit: recorded.git_commit.clone(),
                code_patch: recorded.code_patch.clone(),
                ..header(&sweep, None, recorded.slots as usize)
            };
            return Ok(parts(&sweep, header, sampler, scheduler));
        }
        Err(VersionError::Missing(recorded.sweep.clone()))
    }
}

/// Returns whether a version has the digest. Earlier versions of swath stored sweep files without
/// the name of the study.
fn has_digest(sweep: &Sweep, digest: &str) -> bool {
    sweep.digest == digest || digest_of(&sweep.source.text) == digest
}

#[cfg(test)]
mod tests {
    use super::{Versions, digest_of};
    use crate::sweep::Registry;
    use swath_engine::journal::StudyDir;

    #[test]
    fn a_version_is_found_by_its_digest_with_and_without_the_name_of_the_study() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let text = "[run]\ncommand = [\"p\"]\n[space]\nx = [1, 2]\n";
        let named = format!("name = \"s\"\n{text}");
        for (stored, digest) in [(text, digest_of(text)), (&named, digest_of(&named))] {
            std::fs::write(dir.sweep_toml(), stored).unwrap();
            let versions = Versions::of(&Registry::standard(), &dir);
            assert!(versions.sweep(&digest).is_ok(), "{stored}");
            assert!(versions.sweep(&digest_of("")).is_err());
        }
    }
}
