//! The versions of a trial's models: one for each content under one path.

use super::{LogRecord, Trial};
use crate::space::{Name, Value};

/// One content of a model under one path. A trial may have recorded it several times, for example
/// beside a report, with its facts, and as its best model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelVersion<'a> {
    /// The path as recorded, relative to the workdir.
    pub path: &'a str,
    /// The digest; `None` if it is not known.
    pub md5: Option<&'a str>,
    /// The size in bytes.
    pub size: u64,
    /// The steps of its records, each once, in order.
    pub steps: Vec<f64>,
    /// The facts about it. Of several records that give one fact, the first counts.
    pub facts: Vec<(&'a Name, &'a Value)>,
    /// Whether it is the model that counts for the trial.
    pub counts: bool,
}

impl ModelVersion<'_> {
    /// Returns a fact about the model as text.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<String> {
        let fact = self.facts.iter().find(|(fact, _)| ***fact == *name);
        fact.map(|(_, value)| value.to_string())
    }
}

impl Trial {
    /// Returns the versions of the models of the trial, in the order of their first records.
    /// Records of one path and one digest are the same version. A record without a digest is a
    /// version of its own, unless the next record of its path and step has the digest.
    #[must_use]
    pub fn model_versions(&self) -> Vec<ModelVersion<'_>> {
        let counted = self.model_that_counts().map(|model| model.record);
        let mut versions: Vec<ModelVersion<'_>> = Vec::new();
        // The version that the last record of each path belongs to.
        let mut latest: Vec<(&str, usize)> = Vec::new();
        for (number, record) in self.records.iter().enumerate() {
            match record {
                LogRecord::Model {
                    model_path,
                    md5,
                    size,
                    step,
                    ..
                } => {
                    let path = model_path.as_str();
                    let same = versions.iter().position(|version| {
                        md5.is_some() && (version.path, version.md5) == (path, md5.as_deref())
                    });
                    // A model whose bytes were in doubt is recorded again once they are certain.
                    let in_doubt = latest.iter().find(|(other, _)| *other == path);
                    let in_doubt = in_doubt.map(|(_, index)| *index).filter(|index| {
                        let version = &versions[*index];
                        version.md5.is_none() && version.steps.last() == step.as_ref()
                    });
                    let same = same.or(in_doubt.filter(|_| md5.is_some()));
                    let index = same.unwrap_or_else(|| {
                        versions.push(ModelVersion {
                            path,
                            md5: md5.as_deref(),
                            size: *size,
                            steps: Vec::new(),
                            facts: Vec::new(),
                            counts: false,
                        });
                        versions.len() - 1
                    });
                    let version = &mut versions[index];
                    if version.md5.is_none() && md5.is_some() {
                        (version.md5, version.size) = (md5.as_deref(), *size);
                    }
                    let new_step = step.filter(|step| !version.steps.contains(step));
                    version.steps.extend(new_step);
                    version.counts |= counted == Some(number);
                    latest.retain(|(other, _)| *other != path);
                    latest.push((path, index));
                }
                LogRecord::Facts { model_path, facts } => {
                    let named = latest.iter().find(|(path, _)| path == model_path);
                    let Some((_, index)) = named else { continue };
                    let known = &mut versions[*index].facts;
                    for (name, value) in facts {
                        if !known.iter().any(|(other, _)| *other == name) {
                            known.push((name, value));
                        }
                    }
                }
                _ => {}
            }
        }
        versions
    }
}

#[cfg(test)]
mod tests {
    use crate::demo::Demo;
    use crate::space::{Params, Value};
    use crate::study::{LogRecord, TrialId};

    fn model(demo: &mut Demo, trial: TrialId, md5: Option<&str>, step: Option<f64>) {
        demo.log(
            trial,
            LogRecord::Model {
                model_path: "m.bin".into(),
                md5: md5.map(str::to_owned),
                size: 1,
                step,
                held: None,
                keep: false,
                doubt: None,
                partial: Vec::new(),
            },
        );
    }

    fn facts(demo: &mut Demo, trial: TrialId, facts: &[(&str, Value)]) {
        let facts: Params = facts
            .iter()
            .map(|(name, value)| ((*name).into(), value.clone()))
            .collect();
        let model_path = "m.bin".into();
        demo.log(trial, LogRecord::Facts { model_path, facts });
    }

    #[test]
    fn a_model_that_is_recorded_again_is_one_version_and_keeps_its_first_facts() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        let torch = Value::Text("torch".into());
        demo.report(trial, &[("val_loss", 0.5)]);
        model(&mut demo, trial, Some("a"), Some(1.0));
        facts(
            &mut demo,
            trial,
            &[("parameters", Value::Int(7850)), ("framework", torch)],
        );
        model(&mut demo, trial, Some("a"), Some(1.0));
        facts(
            &mut demo,
            trial,
            &[("best", Value::Bool(true)), ("parameters", Value::Int(1))],
        );
        model(&mut demo, trial, Some("b"), Some(2.0));
        model(&mut demo, trial, None, None);
        model(&mut demo, trial, None, None);
        let versions = demo.study.trial(trial).unwrap().model_versions();
        let shown: Vec<_> = versions
            .iter()
            .map(|version| (version.md5, version.steps.as_slice(), version.counts))
            .collect();
        let expected: [(_, &[f64], _); 4] = [
            (Some("a"), &[1.0], true),
            (Some("b"), &[2.0], false),
            (None, &[], false),
            (None, &[], false),
        ];
        assert_eq!(shown, expected);
        let names = ["parameters", "framework", "best"].map(|name| versions[0].fact(name));
        assert_eq!(
            names.map(Option::unwrap),
            ["7850", "torch", "true"].map(str::to_owned)
        );
    }

    #[test]
    fn a_model_that_was_in_doubt_is_the_version_whose_digest_is_known_later() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        model(&mut demo, trial, None, Some(3.0));
        facts(&mut demo, trial, &[("parameters", Value::Int(7850))]);
        model(&mut demo, trial, Some("a"), Some(3.0));
        let versions = demo.study.trial(trial).unwrap().model_versions();
        assert_eq!(versions.len(), 1, "{versions:?}");
        assert_eq!(versions[0].md5, Some("a"));
        assert_eq!(versions[0].fact("parameters").as_deref(), Some("7850"));
    }
}
