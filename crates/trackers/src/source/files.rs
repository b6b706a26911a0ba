//! Follows the files that a program writes.

use super::rename::{RENAME, Rename};
use super::reporting::Reporting;
use std::io;
use swath_engine::executor::{RecordSource, SourceAttempt, Translator};
use swath_model::source::{Opt, Preset, Takes};
use swath_model::study::Kind;

pub(super) const KIND: Kind<dyn RecordSource> = Kind {
    name: NAME,
    about: "files that the program writes, followed as they grow: CSV, JSON lines, TensorBoard, \
            W&B offline, MLXP, DVCLive",
    paper: None,
    options: &[
        Opt::new(
            "path",
            Takes::Text,
            Preset::Required,
            "the files, relative to the trial's working directory or its folder; `*` and `**` match",
        ),
        RENAME,
    ],
    capabilities: &[],
    build: |mut section, _, diagnostics| {
        let (path, _) = section.take_text("path", diagnostics)?;
        let rename = Rename::take(&mut section, diagnostics);
        Some(Box::new(Files { path, rename }))
    },
};

const NAME: &str = "files";

struct Files {
    path: String,
    rename: Rename,
}

impl RecordSource for Files {
    fn about(&self) -> String {
        format!("`{}`", self.path)
    }

    fn begin(&self, attempt: &SourceAttempt<'_>) -> io::Result<Box<dyn Translator>> {
        let reporting = Reporting::begin(attempt, NAME, self.rename.clone())?;
        Ok(Box::new(Follower { reporting }))
    }
}

struct Follower {
    reporting: Reporting,
}

impl Translator for Follower {
    fn poll(&mut self) -> io::Result<()> {
        self.reporting.flush()
    }
}
