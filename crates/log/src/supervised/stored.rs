//! Records data sets with their digests, and stores artifacts and texts in the trial's folder.

use super::label::Label;
use super::{Supervised, with_causes};
use crate::batch::list_left_out;
use crate::inside::{data_dir, inside_either};
use crate::{Digest, DigestError, artifacts, digest};
use std::io;
use std::path::Path;
use swath_model::study::LogRecord;

impl Supervised {
    pub(super) fn dataset(&mut self, named: &Path, role: String, label: &Label) {
        let (data_dir, path) = data_dir(&self.dirs.workdir, named);
        let (mut md5, mut size, mut files, mut partial) = (None, 0, 0, Vec::new());
        let computed = match &self.reader.cache {
            Some(cache) => cache.digest_of_data(&path),
            None => digest(&path, None),
        };
        match computed {
            Ok(digest) => {
                (size, files, partial) =
                    (digest.size, digest.files, list_left_out(&digest.left_out));
                md5 = Some(digest.md5);
            }
            Err(error) => self.warn(format!(
                "{label}: data set `{data_dir}` has no digest: {}",
                with_causes(&error)
            )),
        }
        if !partial.is_empty() {
            self.warn(format!(
                "`{data_dir}` is partial: its digest leaves out {}; every other file is part of it",
                partial.join(", ")
            ));
        }
        self.recorded.data.retain(|(path, _)| *path != data_dir);
        self.recorded.data.push((data_dir.clone(), md5.clone()));
        self.forward(LogRecord::Dataset {
            data_dir,
            role,
            md5,
            size,
            files,
            partial,
        });
    }

    pub(super) fn artifact(&mut self, named: &str, folder: Option<&str>, label: &Label) {
        let (path, digest) = match self.store_artifact(named, folder) {
            Ok(stored) => stored,
            Err(why) => {
                return self.warn(format!("{label}: the artifact is not stored: {why}"));
            }
        };
        let partial = list_left_out(&digest.left_out);
        if !partial.is_empty() {
            self.warn(format!(
                "{label}: the artifact `{named}` is partial: it is stored without {}",
                partial.join(", ")
            ));
        }
        self.forward(LogRecord::Artifact {
            path,
            md5: Some(digest.md5),
            size: digest.size,
            partial,
        });
    }

    fn store_artifact(
        &self,
        named: &str,
        folder: Option<&str>,
    ) -> Result<(String, Digest), String> {
        let inside = inside_either(&self.dirs.workdir, &self.dirs.trial, named)
            .map_err(|outside| outside.to_string())?;
        let real = inside
            .real
            .ok_or_else(|| DigestError::Missing(named.into()).to_string())?;
        let stored = artifacts::store(&self.dirs.trial, &real, &inside.relative, folder)
            .map_err(|error| with_causes(&error))?;
        let mut digest = digest(&self.dirs.trial.join(&stored.path), None)
            .map_err(|error| with_causes(&error))?;
        digest.left_out = [stored.left_out, digest.left_out].concat();
        Ok((stored.path, digest))
    }

    /// Stores a text as a file of the trial, in the folder of its kind.
    pub(super) fn store_text(&mut self, kind: &str, name: &str, text: &str, label: &Label) {
        match self.write_text(kind, name, text) {
            Ok((path, digest)) => self.forward(LogRecord::Artifact {
                path,
                md5: Some(digest.md5),
                size: digest.size,
                partial: Vec::new(),
            }),
            Err(error) => self.warn(format!(
                "{label}: the {kind} is not stored: {}",
                with_causes(&error)
            )),
        }
    }

    fn write_text(&self, kind: &str, name: &str, text: &str) -> io::Result<(String, Digest)> {
        let path = artifacts::store_bytes(&self.dirs.trial, kind, name, text.as_bytes())?;
        let digest = digest(&self.dirs.trial.join(&path), None).map_err(io::Error::other)?;
        Ok((path, digest))
    }
}
