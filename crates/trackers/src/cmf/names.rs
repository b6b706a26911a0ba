//! The names and the ids of the rows, which derive from the study, so that every write of a study
//! gives the same ones.

use md5::{Digest, Md5};
use std::fmt::Write as _;
use swath_model::study::{Study, Timestamp, TrialId};

/// The names and ids that derive from a study and the time of its first entry.
pub(super) struct Names<'s> {
    pub(super) study: &'s Study,
    pub(super) began: Timestamp,
}

impl Names<'_> {
    /// Returns the name of a trial's execution, which contains the study's name.
    pub(super) fn execution(&self, trial: TrialId) -> String {
        format!("Trial_{}_{trial}", self.study.header().name)
    }

    /// Returns the qualified name of the stage, `<pipeline>/<stage>`.
    pub(super) fn stage(&self) -> String {
        self.qualified(&self.study.header().stage)
    }

    /// Returns the qualified name of a stage of the pipeline.
    pub(super) fn qualified(&self, stage: &str) -> String {
        format!("{}/{stage}", self.study.header().pipeline)
    }

    /// Returns the UUID of a trial's execution, which also names the folder of its step metrics.
    pub(super) fn execution_uuid(&self, trial: TrialId) -> String {
        self.uuid(&[&trial.to_string()])
    }

    /// Returns a UUID derived from the study, the time of its first entry, and `parts`.
    pub(super) fn uuid(&self, parts: &[&str]) -> String {
        let header = self.study.header();
        let mut text = format!(
            "{}\n{}\n{}",
            header.name,
            header.seed,
            self.began.as_micros()
        );
        for part in parts {
            let _ = write!(text, "\n{part}");
        }
        let mut bytes: [u8; 16] = Md5::digest(text).into();
        // Version 3 (derived from an MD5), variant 1.
        bytes[6] = (bytes[6] & 0x0f) | 0x30;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let digits = hexadecimal(&bytes);
        [
            &digits[..8],
            &digits[8..12],
            &digits[12..16],
            &digits[16..20],
            &digits[20..],
        ]
        .join("-")
    }
}

/// Returns bytes as lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::Names;
    use swath_model::demo::Demo;

    #[test]
    fn uuids_derive_from_the_study_and_are_uuids() {
        let demo = Demo::new(&[]);
        let names = Names {
            study: &demo.study,
            began: demo.study.at().unwrap(),
        };
        let (one, two) = (names.uuid(&["1"]), names.uuid(&["2"]));
        assert_ne!(one, two);
        assert_eq!(
            (one.len(), &one[14..15], one.matches('-').count()),
            (36, "3", 4)
        );
    }
}
