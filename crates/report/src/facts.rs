//! Inputs and results of a trial as a list of named facts, so that `swath diff` and `swath repro`
//! can compare two trials fact by fact.

use super::listing;
use super::number;
use std::collections::BTreeSet;
use swath_engine::provenance::git::md5_of;
use swath_engine::provenance::{Environment, Made, patch};
use swath_model::study::{LogRecord, Study, Trial};

/// Subject of a fact; the facts of a trial are grouped by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The parameters of the configuration, and the seed.
    Parameters,
    /// The version of the program: commit, uncommitted changes, sweep file, pinned files.
    Code,
    /// The data sets that the trial recorded, with their checksums.
    Data,
    /// The machine, the folder, the command line and the recorded environment variables.
    Environment,
    /// The packages of the Python environment, those of conda included.
    Packages,
    /// The final state, the reported values and the checksums of saved models.
    Metrics,
}

impl Section {
    /// All sections, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::Parameters,
        Self::Code,
        Self::Data,
        Self::Environment,
        Self::Packages,
        Self::Metrics,
    ];

    /// Returns the name of the section, as it is shown and selected.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameters => "parameters",
            Self::Code => "code",
            Self::Data => "data",
            Self::Environment => "environment",
            Self::Packages => "packages",
            Self::Metrics => "metrics",
        }
    }
}

/// One named value of a trial.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// The section that the fact belongs to.
    pub section: Section,
    /// The name. A name in brackets, such as `(seed)`, is not the user's.
    pub name: String,
    /// The value as text; never empty.
    pub value: String,
}

/// A fact of two or more trials. At least one of them has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The section that the fact belongs to.
    pub section: Section,
    /// The name of the fact.
    pub name: String,
    /// The value of each trial; `None` if it lacks the fact.
    pub values: Vec<Option<String>>,
}

impl Comparison {
    /// Returns whether all trials have the same value.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.values.windows(2).all(|pair| pair[0] == pair[1])
    }
}

/// A trial together with the provenance that facts are taken from.
pub struct Subject<'a> {
    /// The study of the trial.
    pub study: &'a Study,
    /// The trial that the facts describe.
    pub trial: &'a Trial,
    /// The provenance of the last attempt; `None` if nothing was recorded.
    pub made: Option<&'a Made>,
    /// The machine and the code of the run that started the trial; `None` if they were not
    /// recorded.
    pub environment: Option<&'a Environment>,
    /// The uncommitted changes, as a git patch against the commit; empty if there are none.
    pub patch: &'a [u8],
}

/// Matches the facts of trials by section and name. Sections come in the order of [`Section::ALL`].
/// Within a section the facts of the first trial come in their own order, followed by the facts that
/// only later trials have. If a trial has several facts of one name, the first counts.
#[must_use]
pub fn compare(trials: &[&[Fact]]) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for section in Section::ALL {
        let mut seen = BTreeSet::new();
        let facts = trials.iter().copied().flatten();
        for fact in facts.filter(|fact| fact.section == section) {
            if seen.insert(&fact.name) {
                let values = trials
                    .iter()
                    .map(|facts| value_of(facts, section, &fact.name));
                comparisons.push(Comparison {
                    section,
                    name: fact.name.clone(),
                    values: values.collect(),
                });
            }
        }
    }
    comparisons
}

fn value_of(facts: &[Fact], section: Section, name: &str) -> Option<String> {
    facts
        .iter()
        .find(|fact| fact.section == section && fact.name == name)
        .map(|fact| fact.value.clone())
}

/// Returns all facts of a trial. Facts without a value are left out.
#[must_use]
pub fn facts(subject: &Subject<'_>) -> Vec<Fact> {
    let mut facts = Facts(Vec::new());
    facts.parameters(subject);
    facts.code(subject);
    facts.data(subject);
    if let Some(environment) = subject.environment {
        facts.environment(environment);
        facts.packages(environment);
    }
    facts.metrics(subject);
    facts.0
}

/// List of facts under construction.
struct Facts(Vec<Fact>);

impl Facts {
    /// Appends a fact, unless its value is empty: an absent value is not a fact.
    fn add(&mut self, section: Section, name: impl Into<String>, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.push(Fact {
                section,
                name: name.into(),
                value,
            });
        }
    }

    fn parameters(&mut self, subject: &Subject<'_>) {
        for (name, value) in &subject.trial.params {
            self.add(Section::Parameters, &**name, listing::shown(value));
        }
        self.add(
            Section::Parameters,
            "(seed)",
            subject.trial.seed.to_string(),
        );
    }

    fn code(&mut self, subject: &Subject<'_>) {
        // The sweep file may have been edited since, so the header of the trial's own attempt comes
        // first.
        let header = subject
            .made
            .map_or(subject.study.header(), |made| &made.header);
        let commit = header.git_commit.as_deref().unwrap_or_default();
        // The `-dirty` mark is redundant: each uncommitted change is a fact of its own.
        self.add(Section::Code, "commit", commit.trim_end_matches("-dirty"));
        for (name, part) in patch::files(subject.patch) {
            self.add(
                Section::Code,
                format!("uncommitted {name}"),
                format!("md5 {}", md5_of(part)),
            );
        }
        self.add(Section::Code, "sweep file", format!("md5 {}", header.sweep));
        self.add(Section::Code, "swath", &*header.swath);
        let Some(environment) = subject.environment else {
            return;
        };
        if let Some(git) = &environment.git {
            self.add(
                Section::Code,
                "branch",
                git.branch.as_deref().unwrap_or_default(),
            );
            self.add(
                Section::Code,
                "remote",
                git.remote.as_deref().unwrap_or_default(),
            );
        }
        for file in environment
            .found
            .iter()
            .flat_map(|software| software.files.iter().chain(&software.locks))
        {
            self.add(Section::Code, &*file.name, format!("md5 {}", file.md5));
        }
    }

    fn data(&mut self, subject: &Subject<'_>) {
        // A data set inside the folder of the call has an absolute path if the trials ran in
        // another folder. It is the same data, so the path is made relative to the folder of the
        // call.
        let called_in = subject
            .environment
            .map(|environment| format!("{}/", environment.workdir));
        for record in &subject.trial.records {
            let LogRecord::Dataset {
                data_dir,
                role,
                md5,
                ..
            } = record
            else {
                continue;
            };
            let relative_path = called_in
                .as_ref()
                .and_then(|folder| data_dir.strip_prefix(folder.as_str()));
            let data_dir = relative_path.unwrap_or(data_dir);
            let name = if role.is_empty() {
                data_dir.to_owned()
            } else {
                format!("{data_dir} ({role})")
            };
            let md5 = md5
                .as_deref()
                .map_or_else(|| "unreadable".to_owned(), |md5| format!("md5 {md5}"));
            self.add(Section::Data, name, md5);
        }
    }

    fn environment(&mut self, environment: &Environment) {
        let machine = &environment.machine;

        self.add(Section::Environment, "host", machine.host.clone());
        self.add(Section::Environment, "user", machine.user.clone());
        self.add(
            Section::Environment,
            "system",
            format!("{} {}", machine.os, machine.arch),
        );
        self.add(
            Section::Environment,
            "processor",
            machine.cpu.clone().unwrap_or_default(),
        );
        self.add(Section::Environment, "processors", machine.cpus.to_string());
        self.add(
            Section::Environment,
            "memory",
            machine.memory.map(number::bytes).unwrap_or_default(),
        );
        self.add(
            Section::Environment,
            "folder",
            environment.trials_in().to_owned(),
        );
        self.add(
            Section::Environment,
            "command line",
            environment.command_line.join(" "),
        );
        if let Some(software) = &environment.found {
            for (index, gpu) in software.gpus.iter().enumerate() {
                let memory = gpu
                    .memory
                    .map(|bytes| format!(", {}", number::bytes(bytes)))
                    .unwrap_or_default();
                let driver = gpu
                    .driver
                    .as_ref()
                    .map(|driver| format!(", driver {driver}"))
                    .unwrap_or_default();
                self.add(
                    Section::Environment,
                    format!("gpu {index}"),
                    format!("{}{memory}{driver}", gpu.name),
                );
            }
            if let Some(python) = &software.python {
                self.add(
                    Section::Environment,
                    "python",
                    format!(
                        "{} {} ({})",
                        python.implementation, python.version, python.environment
                    ),
                );
                self.add(
                    Section::Environment,
                    "interpreter",
                    python.executable.clone(),
                );
            }
        }
        for (name, value) in &environment.variables {
            self.add(Section::Environment, format!("${name}"), value.clone());
        }
    }

    fn packages(&mut self, environment: &Environment) {
        let Some(python) = environment
            .found
            .as_ref()
            .and_then(|software| software.python.as_ref())
        else {
            return;
        };
        for (name, version) in &python.packages {
            self.add(Section::Packages, name, version);
        }
        for (name, version) in &python.conda {
            self.add(Section::Packages, format!("{name} (conda)"), version);
        }
    }

    fn metrics(&mut self, subject: &Subject<'_>) {
        let trial = subject.trial;
        self.add(Section::Metrics, "(state)", trial.state.word());
        self.add(Section::Metrics, "(reports)", trial.reports.to_string());
        for objective in &subject.study.header().objectives {
            if let Some(value) = trial.objective(objective) {
                self.add(
                    Section::Metrics,
                    format!("{} (objective)", objective.metric),
                    value.to_string(),
                );
            }
        }
        for (name, tally) in trial.metrics.iter() {
            self.add(Section::Metrics, &**name, tally.last.0.to_string());
        }
        for (name, text) in &trial.texts {
            self.add(Section::Metrics, &**name, text);
        }
        for record in &trial.records {
            if let LogRecord::Model {
                model_path,
                md5: Some(md5),
                ..
            } = record
            {
                // A trial may save the same model several times. Only the last checksum is kept.
                let name = format!("model {}", without_folder(subject, model_path));
                self.0.retain(|fact| fact.name != name);
                self.add(Section::Metrics, name, format!("md5 {md5}"));
            }
        }
    }
}

/// Returns a path without the folder of the trial, which differs between trials that save the same
/// file.
fn without_folder<'a>(subject: &Subject<'_>, path: &'a str) -> &'a str {
    let folder = format!("/{}/{}/", subject.study.header().name, subject.trial.id);
    path.rfind(&folder)
        .map_or(path, |start| &path[start + folder.len()..])
}

#[cfg(test)]
mod tests {
    use super::{Fact, Section, Subject, compare, facts};
    use swath_model::demo::Demo;
    use swath_model::space::Value;
    use swath_model::study::{Exit, LogRecord};

    fn facts_of(demo: &Demo, index: usize, patch: &[u8]) -> Vec<Fact> {
        facts(&Subject {
            study: &demo.study,
            trial: &demo.study.trials()[index],
            made: None,
            environment: None,
            patch,
        })
    }

    #[test]
    fn two_trials_are_compared_fact_by_fact() {
        let mut demo = Demo::new(&["lr", "depth"]);
        demo.complete(
            &[("lr", Value::Float(0.5)), ("depth", Value::Int(3))],
            &[("val_loss", 0.5)],
        );
        demo.complete(
            &[("lr", Value::Float(0.25))],
            &[("val_loss", 0.5), ("acc", f64::NAN)],
        );
        let patch = b"diff --git a/t.py b/t.py\n+x\n";
        let (first, second) = (facts_of(&demo, 0, b""), facts_of(&demo, 1, patch));
        let compared = compare(&[&first, &second]);
        let changed: Vec<_> = compared
            .iter()
            .filter(|fact| !fact.is_equal())
            .map(|fact| {
                (
                    fact.section,
                    fact.name.as_str(),
                    fact.values[0].as_deref(),
                    fact.values[1].as_deref(),
                )
            })
            .collect();
        let md5 = "md5 6ab2f8c40b0ae8b1a1e39e4f9e2ab1e1";
        assert_eq!(
            changed[0],
            (Section::Parameters, "lr", Some("0.5"), Some("0.25"))
        );
        assert_eq!(changed[1], (Section::Parameters, "depth", Some("3"), None));
        assert_eq!((changed[2].1, changed[2].2), ("uncommitted t.py", None));
        assert_eq!(changed[2].3.map(str::len), Some(md5.len()));
        assert_eq!(changed[3], (Section::Metrics, "acc", None, Some("NaN")));
        assert_eq!(changed.len(), 4);
        assert!(
            compared
                .iter()
                .any(|fact| fact.name == "val_loss" && fact.is_equal())
        );
    }

    #[test]
    fn a_model_in_the_folder_of_each_trial_is_the_same_fact() {
        let mut demo = Demo::new(&[]);
        for id in [1, 2] {
            let trial = demo.start(&[]);
            demo.log(
                trial,
                LogRecord::Model {
                    model_path: format!("/ada/logs/{}/{id}/model.pt", demo.study.header().name),
                    md5: Some("d41d8cd98f00b204e9800998ecf8427e".to_owned()),
                    size: 3,
                    step: None,
                    held: None,
                    doubt: None,
                    keep: false,
                    partial: Vec::new(),
                },
            );
            demo.report(trial, &[("val_loss", 0.5)]);
            demo.end(trial, Exit::Done);
        }
        let (first, second) = (facts_of(&demo, 0, b""), facts_of(&demo, 1, b""));
        let compared = compare(&[&first, &second]);
        let model = compared.iter().find(|fact| fact.name == "model model.pt");
        assert!(
            model.is_some_and(super::Comparison::is_equal),
            "{compared:?}"
        );
    }
}
