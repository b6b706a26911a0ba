//! Verification of a study: digests again the files that trials read, ran and wrote, and reports
//! differences from the record.

use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use swath_engine::driver::holding::{model_that_counts, needed};
use swath_engine::journal::{JournalError, StudyDir};
use swath_engine::provenance::git::md5_of;
use swath_engine::provenance::{Checkout, Environment, Made, Record, patch, variables};
use swath_log::{Digest, DigestError, digest};
use swath_model::study::{LogRecord, Timestamp, Trial, TrialId};

/// The kind of an object that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A data set that a trial read.
    Data,
    /// A model that a trial wrote.
    Model,
    /// A file that a trial stored as an artifact.
    Artifact,
    /// The commit and the uncommitted changes of the code.
    Code,
    /// The program, or a file that its command names.
    File,
    /// A lock file, which pins versions of packages.
    Lock,
    /// The study's copy of the sweep file.
    Sweep,
}

impl Subject {
    /// All subjects, each with its name.
    pub const ALL: [(&str, Self); 7] = [
        ("data", Self::Data),
        ("model", Self::Model),
        ("artifact", Self::Artifact),
        ("code", Self::Code),
        ("file", Self::File),
        ("lock", Self::Lock),
        ("sweep", Self::Sweep),
    ];

    /// Returns the name of the subject, as in [`ALL`](Self::ALL).
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, subject)| *subject == self)
            .map_or("", |(name, _)| name)
    }
}

/// An object that differs from its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The kind of the object.
    pub subject: Subject,
    /// The name of the object in the record.
    pub name: String,
    /// The path that was examined.
    pub path: PathBuf,
    /// The recorded digest or commit.
    pub recorded: String,
    /// The digest or commit found now; absent if the object is missing or unreadable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The kind of difference, in words.
    pub why: String,
    /// The time of the object's last change; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The trials that the object concerns.
    pub trials: Vec<TrialId>,
}

/// The result of a verification.
#[derive(Debug, Clone, Default)]
pub struct Verified {
    /// By kind, the number of objects that were checked.
    pub checked: BTreeMap<Subject, usize>,
    /// The objects that differ from their record, by kind, name and trials.
    pub drift: Vec<Drift>,
    /// Descriptions of objects that cannot be checked.
    pub unchecked: Vec<String>,
}

/// A file or folder to be digested again.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Expected {
    subject: Subject,
    name: String,
    path: PathBuf,
    md5: String,
    /// The path of the held copy of a model, if there is one.
    held: Option<PathBuf>,
}

/// One version of a model, of those that a trial wrote to the same path.
struct ModelVersion<'a> {
    md5: Option<&'a str>,
    step: Option<f64>,
    held: Option<&'a str>,
    /// The reason why the version has no digest.
    doubt: Option<&'a str>,
    /// Whether the version is the model that counts.
    counts: bool,
}

impl ModelVersion<'_> {
    /// Returns the step of the version, in words.
    fn step_text(&self) -> String {
        self.step
            .map_or_else(|| "without a step".to_owned(), |step| format!("at {step}"))
    }
}

/// Checks the recorded files of some trials. Relative paths start in `workdir`, if given, or else
/// where the trials ran. `only` limits the check to some subjects; if empty, all are checked.
///
/// # Errors
/// If the journal cannot be read.
pub fn verify(
    dir: &StudyDir,
    trials: &[&Trial],
    workdir: Option<&Path>,
    only: &BTreeSet<Subject>,
) -> Result<Verified, JournalError> {
    let record = Record::of(dir)?;
    let mut gathered = Gathered::default();
    for trial in trials {
        gathered.of_trial(dir, &record, trial, workdir);
    }
    let mut verified = Verified {
        unchecked: gathered.unchecked.into_iter().collect(),
        ..Verified::default()
    };
    let expected: Vec<_> = gathered
        .files
        .into_iter()
        .filter(|(expected, _)| is_selected(expected.subject, only))
        .collect();
    for (expected, _) in &expected {
        *verified.checked.entry(expected.subject).or_default() += 1;
    }
    let writers = models(trials);
    let drift = expected
        .par_iter()
        .filter_map(|(expected, trials)| drift(expected, trials, &writers));
    verified.drift = drift.collect();
    for gone in gathered
        .gone
        .into_iter()
        .filter(|gone| is_selected(gone.subject, only))
    {
        *verified.checked.entry(gone.subject).or_default() += 1;
        verified.drift.push(gone);
    }
    if is_selected(Subject::Code, only) {
        for ((base, at), trials) in gathered.code {
            let Some(environment) = record.environments.get(at) else {
                continue;
            };
            *verified.checked.entry(Subject::Code).or_default() += 1;
            verified
                .drift
                .extend(code(&record, environment, &base, &trials));
        }
    }
    if is_selected(Subject::Sweep, only) {
        for (md5, trials) in gathered.sweeps {
            *verified.checked.entry(Subject::Sweep).or_default() += 1;
            verified.drift.extend(sweep(dir, &md5, trials));
        }
    }
    verified
        .drift
        .sort_by(|a, b| (a.subject, &a.name, &a.trials).cmp(&(b.subject, &b.name, &b.trials)));
    Ok(verified)
}

fn is_selected(subject: Subject, only: &BTreeSet<Subject>) -> bool {
    only.is_empty() || only.contains(&subject)
}

/// The objects to be checked, each of them once, with the trials that it concerns.
#[derive(Default)]
struct Gathered {
    files: BTreeMap<Expected, Vec<TrialId>>,
    code: BTreeMap<(PathBuf, usize), Vec<TrialId>>,
    sweeps: BTreeMap<String, Vec<TrialId>>,
    unchecked: BTreeSet<String>,
    /// Models that are known to be overwritten, without reading any file.
    gone: Vec<Drift>,
}

impl Gathered {
    /// Adds everything that the record says of one trial.
    fn of_trial(&mut self, dir: &StudyDir, record: &Record, trial: &Trial, workdir: Option<&Path>) {
        let Some(made) = record.made(trial.id) else {
            return;
        };
        self.sweeps
            .entry(made.header.sweep.clone())
            .or_default()
            .push(trial.id);
        let environment = record.environment(trial.id);
        let here = environment.map(|environment| PathBuf::from(environment.trials_in()));
        let base = workdir.map(Path::to_owned).or(here).unwrap_or_default();
        let own = environment.and_then(|environment| environment.own_workdir(&dir.trial(trial.id)));
        self.records(dir, trial, &base, own.as_deref());
        match (environment, made.environment) {
            (Some(environment), Some(at)) => {
                self.made_with(environment, trial.id, workdir);
                self.code_of(made, &base, at, trial.id);
            }
            _ => drop(
                self.unchecked
                    .insert("the code: the study has no `environment.json`".to_owned()),
            ),
        }
    }

    /// Adds a file or folder with its recorded digest.
    fn file(&mut self, subject: Subject, name: &str, path: PathBuf, md5: &str, trial: TrialId) {
        let expected = Expected {
            subject,
            name: name.to_owned(),
            path,
            md5: md5.to_owned(),
            held: None,
        };
        let trials = self.files.entry(expected).or_default();
        // All files of one trial are added in a row, so a duplicate can only be the last one.
        if trials.last() != Some(&trial) {
            trials.push(trial);
        }
    }

    /// Adds the data sets, artifacts and models of a trial. `own` is its private working directory.
    fn records(&mut self, dir: &StudyDir, trial: &Trial, base: &Path, own: Option<&Path>) {
        let mut last: BTreeMap<(Subject, &str), (PathBuf, &Option<String>)> = BTreeMap::new();
        for record in &trial.records {
            // A path that was recorded several times has the contents of its last record.
            match record {
                LogRecord::Dataset {
                    data_dir,
                    md5,
                    partial,
                    ..
                } => {
                    if !partial.is_empty() {
                        let left_out = partial.join(", ");
                        self.unchecked
                            .insert(format!("of the data `{data_dir}`: {left_out}"));
                    }
                    // The folder may be gone, but the data of the project are still there.
                    let within = own
                        .map(|own| own.join(data_dir))
                        .filter(|path| path.exists());
                    let path = within.unwrap_or_else(|| base.join(data_dir));
                    last.insert((Subject::Data, data_dir), (path, md5))
                }
                LogRecord::Artifact { path, md5, .. } => last.insert(
                    (Subject::Artifact, path),
                    (dir.trial(trial.id).join(path), md5),
                ),
                _ => None,
            };
        }
        for ((subject, name), (path, md5)) in last {
            match md5 {
                Some(md5) => self.file(subject, name, path, md5, trial.id),
                None => {
                    let kind = subject.name();
                    self.unchecked.insert(format!(
                        "the {kind} `{name}` of trial {}: it had no digest",
                        trial.id
                    ));
                }
            }
        }
        let mut models: BTreeMap<&str, Vec<ModelVersion<'_>>> = BTreeMap::new();
        let counts = model_that_counts(trial);
        for (at, record) in trial.records.iter().enumerate() {
            if let LogRecord::Model {
                model_path,
                md5,
                step,
                held,
                doubt,
                ..
            } = record
            {
                let held = held.as_deref();
                models.entry(model_path).or_default().push(ModelVersion {
                    md5: md5.as_deref(),
                    step: *step,
                    held,
                    doubt: doubt.as_deref(),
                    counts: Some(at) == counts,
                });
            }
        }
        for (path, versions) in models {
            self.model(dir, trial, own.unwrap_or(base), path, &versions);
        }
    }

    /// Adds the versions of a model that a trial wrote to one path, each over the one before.
    fn model(
        &mut self,
        dir: &StudyDir,
        trial: &Trial,
        base: &Path,
        path: &str,
        versions: &[ModelVersion<'_>],
    ) {
        let needed = needed(trial);
        let root = dir.trial(trial.id);
        let Some(last) = versions.last() else { return };
        let mut gone: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (at, version) in versions.iter().enumerate() {
            let is_last = at + 1 == versions.len();
            let held = version
                .held
                .filter(|held| needed.contains(held))
                .map(|held| root.join(held));
            let is_read_later =
                |later: &ModelVersion<'_>| later.step == version.step && later.md5.is_some();
            let Some(md5) = version.md5 else {
                // A later record of the same step has the digest.
                if versions[at + 1..].iter().any(is_read_later) {
                    continue;
                }
                let why = format!(
                    "it had no digest{}",
                    version
                        .doubt
                        .map_or(String::new(), |why| format!(": {why}"))
                );
                gone.entry(why).or_default().push(version.step_text());
                continue;
            };
            // Only the last version can still be at the path itself; older ones are checked where
            // they are held.
            if is_last {
                // `keep` may have removed the folder in which the trial ran.
                let place = match &held {
                    Some(held) if !base.exists() => held.clone(),
                    _ => base.join(path),
                };
                self.version(path.to_owned(), place, md5, held, trial.id);
            } else if let Some(held) = held {
                self.version(
                    format!("{path} {}", version.step_text()),
                    held,
                    md5,
                    None,
                    trial.id,
                );
            } else if last.md5 == Some(md5) {
                // A later record of the same bytes: nothing was overwritten.
            } else if version.counts {
                self.gone.push(Drift {
                    subject: Subject::Model,
                    name: format!("{path} {}", version.step_text()),
                    path: base.join(path),
                    recorded: md5.to_owned(),
                    found: last.md5.map(str::to_owned),
                    why: "is gone, although it is the one that counts: a later version was written over it"
                        .to_owned(),
                    since: None,
                    trials: vec![trial.id],
                });
            } else {
                let why = "gone, a later version was written over it".to_owned();
                gone.entry(why).or_default().push(version.step_text());
            }
        }
        for (why, versions) in gone {
            let id = trial.id;
            self.unchecked.insert(format!(
                "the model `{path}` of trial {id} {}: {why}",
                listed(&versions)
            ));
        }
    }

    /// Adds a version of a model.
    fn version(
        &mut self,
        name: String,
        path: PathBuf,
        md5: &str,
        held: Option<PathBuf>,
        trial: TrialId,
    ) {
        let expected = Expected {
            subject: Subject::Model,
            name,
            path,
            md5: md5.to_owned(),
            held,
        };
        self.files.entry(expected).or_default().push(trial);
    }

    /// Adds the program's files and lock files. With a `workdir`, files within the former working
    /// directory are looked for in it.
    fn made_with(&mut self, environment: &Environment, trial: TrialId, workdir: Option<&Path>) {
        let Some(found) = &environment.found else {
            self.unchecked.insert(
                "the program: its digest was not recorded, since the run was cut short".to_owned(),
            );
            return;
        };
        let former_workdir = Path::new(environment.trials_in());
        let files = found.files.iter().map(|file| (Subject::File, file));
        let locks = found.locks.iter().map(|file| (Subject::Lock, file));
        for (subject, file) in files.chain(locks) {
            let path = match (workdir, file.path.strip_prefix(former_workdir)) {
                (Some(workdir), Ok(inside)) => workdir.join(inside),
                _ => file.path.clone(),
            };
            self.file(subject, &file.name, path, &file.md5, trial);
        }
    }

    /// Adds the code of a trial.
    fn code_of(&mut self, made: &Made, base: &Path, environment: usize, trial: TrialId) {
        if made.header.git_commit.is_some() {
            self.code
                .entry((base.to_owned(), environment))
                .or_default()
                .push(trial);
        } else {
            self.unchecked
                .insert("the version of the code: it was in no git repository".to_owned());
        }
    }
}

/// Returns, by digest, the last of the trials that wrote a model of these bytes.
fn models(trials: &[&Trial]) -> BTreeMap<String, TrialId> {
    let mut written = BTreeMap::new();
    for trial in trials {
        for record in &trial.records {
            if let LogRecord::Model { md5: Some(md5), .. } = record {
                written.insert(md5.clone(), trial.id);
            }
        }
    }
    written
}

/// Compares an object with its recorded digest. Returns `None` if it is unchanged.
fn drift(
    expected: &Expected,
    trials: &[TrialId],
    writers: &BTreeMap<String, TrialId>,
) -> Option<Drift> {
    let (found, why) = match digest(&expected.path, None) {
        Ok(Digest { md5, .. }) if md5 == expected.md5 => return None,
        Ok(Digest { md5, .. }) => {
            let writer = writers
                .get(&md5)
                .filter(|_| expected.subject == Subject::Model);
            let why = writer.map_or_else(
                || "changed".to_owned(),
                |by| format!("has the bytes that trial {by} wrote"),
            );
            (Some(md5), why)
        }
        Err(DigestError::Missing(_)) => (None, "is missing".to_owned()),
        Err(error) => (None, format!("cannot be read: {error}")),
    };
    let why = match &expected.held {
        Some(held) if digest(held, None).is_ok_and(|copy| copy.md5 == expected.md5) => {
            format!("{why} (its bytes are held in `{}`)", held.display())
        }
        _ => why,
    };
    Some(Drift {
        subject: expected.subject,
        name: expected.name.clone(),
        since: found.as_ref().and_then(|_| last_change(&expected.path)),
        path: expected.path.clone(),
        recorded: expected.md5.clone(),
        found,
        why,
        trials: trials.to_vec(),
    })
}

/// Returns the time of the last change of a file, or of any file in a folder.
fn last_change(path: &Path) -> Option<Timestamp> {
    let about = path.metadata().ok()?;
    let own = about
        .modified()
        .ok()?
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    let own = Timestamp::from_micros(i64::try_from(own.as_micros()).unwrap_or(i64::MAX));
    if !about.is_dir() {
        return Some(own);
    }
    let entries = std::fs::read_dir(path).ok()?.filter_map(Result::ok);
    let inside = entries.filter(|entry| !entry.path().is_symlink() || entry.path().is_file());
    inside
        .filter_map(|entry| last_change(&entry.path()))
        .chain([own])
        .max()
}

/// Compares the checkout in `base` with the code that ran.
fn code(record: &Record, environment: &Environment, base: &Path, trials: &[TrialId]) -> Vec<Drift> {
    let Some(git) = &environment.git else {
        return Vec::new();
    };
    let commit = Drift {
        subject: Subject::Code,
        name: "commit".to_owned(),
        path: base.to_owned(),
        recorded: git.commit.clone(),
        found: None,
        why: String::new(),
        since: None,
        trials: trials.to_vec(),
    };
    let mut drift = Vec::new();
    let kept = git.patch_md5.as_ref().map(|md5| {
        record
            .patches
            .get(md5)
            .and_then(|path| std::fs::read(path).ok())
    });
    if let (Some(None), Some(md5)) = (&kept, &git.patch_md5) {
        drift.push(Drift {
            name: "code.patch".to_owned(),
            recorded: md5.clone(),
            why: "is missing or was altered: the uncommitted changes are lost".to_owned(),
            ..commit.clone()
        });
    }
    let Some(checkout) = Checkout::of(base) else {
        drift.push(Drift {
            why: "cannot be found: the folder is no longer in a git repository".to_owned(),
            ..commit
        });
        return drift;
    };
    if !checkout.has(&git.commit) {
        drift.push(Drift {
            why: "is no longer in the repository".to_owned(),
            ..commit
        });
        return drift;
    }
    // Without the patch, the code that ran is unknown, so it cannot be compared.
    if git.patch_md5.is_some() && kept.as_ref().is_some_and(Option::is_none) {
        return drift;
    }
    // Compares with the commit that ran: if the same changes were committed since, the code is the
    // same.
    let recorded = kept.flatten().unwrap_or_default();
    let secrets = variables::secrets(&[], &[]);
    let files = patch::differing(
        &recorded,
        &checkout
            .changes(&git.commit, &git.besides, &git.named, &secrets)
            .0,
    );
    if files.is_empty() {
        return drift;
    }
    let (count, moved) = checkout.since(&git.commit);
    let checked_out = match count {
        _ if checkout.commit == git.commit => String::new(),
        0 => "another commit is checked out, and the code ".to_owned(),
        1 => "the checkout is one commit further, and the code ".to_owned(),
        count => format!("the checkout is {count} commits further, and the code "),
    };
    let edited = files
        .iter()
        .filter_map(|file| last_change(&checkout.root.join(file)))
        .max();
    drift.push(Drift {
        found: Some(checkout.commit).filter(|now| *now != git.commit),
        why: format!("{checked_out}differs in {}", listed(&files)),
        since: moved.or(edited),
        ..commit
    });
    drift
}

/// Maximum number of names in a message.
const NAMED: usize = 8;

/// Joins at most [`NAMED`] names.
fn listed(files: &[String]) -> String {
    let shown = files
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if files.len() > NAMED {
        format!("{shown} and {} more", files.len() - NAMED)
    } else {
        shown
    }
}

/// Returns a drift unless the study has a copy of the sweep file with this digest.
fn sweep(dir: &StudyDir, md5: &str, trials: Vec<TrialId>) -> Option<Drift> {
    let earlier = (1..)
        .map(|version| dir.sweep_version(version))
        .take_while(|path| path.exists());
    let kept: Vec<String> = earlier
        .chain([dir.sweep_toml()])
        .filter_map(|path| Some(md5_of(&std::fs::read(path).ok()?)))
        .collect();
    if kept.iter().any(|kept| kept == md5) {
        return None;
    }
    Some(Drift {
        subject: Subject::Sweep,
        name: "sweep.toml".to_owned(),
        path: dir.sweep_toml(),
        recorded: md5.to_owned(),
        found: kept.last().cloned(),
        why: "the study's copy was altered or is gone".to_owned(),
        since: last_change(&dir.sweep_toml()),
        trials,
    })
}
