//! Reads the bytes of models: holds a copy, computes the digest, and tells whether the file changed
//! meanwhile.

use super::with_causes;
use crate::batch::{NamedModel, OVERWRITTEN, Version, list_left_out};
use crate::models::discard;
use crate::stamp::Stamp;
use crate::{DigestCache, DigestError, Dirs, ModelStore, digest};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Reads the models of a trial.
pub(super) struct ModelReader {
    dirs: Dirs,
    pub(super) cache: Option<Arc<DigestCache>>,
    pub(super) store: Arc<ModelStore>,
}

impl ModelReader {
    pub(super) fn new(dirs: Dirs) -> Self {
        Self {
            dirs,
            cache: None,
            store: Arc::default(),
        }
    }

    /// Holds a model's bytes if the store does so, and computes their digest. The model has no
    /// digest if it changed meanwhile.
    pub(super) fn read(&self, model: &NamedModel) -> Version {
        let Some(real) = &model.real else {
            return Version::without(
                DigestError::Missing(model.path_in_record.clone().into()).to_string(),
            );
        };
        let before = match self.stamp_of(model, real) {
            Ok(before) => before,
            Err(error) => return Version::without(error.to_string()),
        };
        // A held copy is hashed instead of the original: the digest then describes bytes that
        // nothing overwrites.
        let held = self.store.hold(&self.dirs.trial, real, model.keep);
        let digest = match &held {
            Some(held) => digest(&self.dirs.trial.join(&held.path), None),
            None => digest(real, self.cache.as_deref()),
        };
        let is_unchanged = self
            .stamp_of(model, real)
            .is_ok_and(|after| after == before);
        let partial = match (&held, &digest) {
            (Some(held), _) => list_left_out(&held.left_out),
            (None, Ok(digest)) => list_left_out(&digest.left_out),
            (None, Err(_)) => Vec::new(),
        };
        let digest = match digest {
            Ok(digest) if is_unchanged => Ok((digest.md5, digest.size)),
            Ok(_) | Err(DigestError::Changed(_)) => Err(OVERWRITTEN.to_owned()),
            Err(error) => Err(with_causes(&error)),
        };
        let mut held = held.map(|held| held.path);
        if digest.is_err()
            && let Some(held) = held.take()
        {
            discard(&self.dirs.trial, &held);
        }
        Version {
            digest,
            held,
            partial,
            stamp: Some(before),
        }
    }

    /// Returns whether the file of a model changed since it was read.
    pub(super) fn has_changed(&self, model: &NamedModel) -> bool {
        let (Some(real), Some(stamp)) = (&model.real, model.stamp()) else {
            return false;
        };
        self.stamp_of(model, real).map_or(true, |now| now != *stamp)
    }

    /// Removes the held copy of a model, if there is one.
    pub(super) fn discard(&self, model: &NamedModel) {
        if let Some(held) = model.held() {
            discard(&self.dirs.trial, held);
        }
    }

    fn stamp_of(&self, model: &NamedModel, real: &Path) -> io::Result<Stamp> {
        Stamp::of(&self.dirs.workdir, &model.path, real)
    }
}
