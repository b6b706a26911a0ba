//! Repeating one trial of a study exactly, in a study of its own: with the same configuration,
//! seed, command, code, data and environment variables.

mod compare;
mod copy;
mod repeat;

pub use compare::{Compared, Difference, Tolerance, compare};

use super::code::{CodeError, check_out};
use super::resources;
use super::sources::{self, Implied};
use super::{Opened, Options, RunError, Versions, hidden, keep, parts, work_plan, workdir};
use crate::sweep::{Keep, Limits, Registry, Retry, Sweep};
use repeat::{AsFar, Nothing};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use swath_engine::driver::{Driver, Parts};
use swath_engine::journal::{Journal, JournalError, StudyDir, new_id};
use swath_engine::provenance::git::git;
use swath_engine::provenance::{
    Checkout, Environment, Found, Git, Machine, Made, Record, variables,
};
use swath_log::{DigestCache, digest};
use swath_model::study::preparation::is_input;
use swath_model::study::{
    Event, FORMAT, Header, LogRecord, Origin, Study, Timestamp, Trial, TrialId, TrialState, Verdict,
};

/// A request to repeat a trial.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The kinds that the sweep file of the study may name.
    pub registry: &'a Registry,
    /// The paths of the trial's study.
    pub dir: &'a StudyDir,
    /// The state of the trial's study.
    pub study: &'a Study,
    /// The trial to be repeated.
    pub trial: &'a Trial,
    /// The present location of the project, if it has moved.
    pub project: Option<&'a Path>,
    /// Whether to run even if data or code have changed.
    pub anyway: bool,
}

/// An error that prevents the repetition of a trial.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RerunError {
    /// The trial has never started.
    #[error("trial {0} has not started, so there is nothing to repeat")]
    NotStarted(TrialId),
    /// The trial started from a checkpoint of another trial.
    #[error(
        "trial {trial} began with a checkpoint of trial {from}, which is not kept as it was then"
    )]
    Cloned {
        /// The trial to be repeated.
        trial: TrialId,
        /// The trial whose checkpoint it started from.
        from: TrialId,
    },
    /// The study has no description of the run that started the trial.
    #[error(
        "the study has no `environment.json` that tells where and with which code trial {0} ran"
    )]
    NoEnvironment(TrialId),
    /// The trainable was a Rust function and not a program.
    #[error(
        "the sweep has no command: trial {0} ran a function, which only its own program can run again"
    )]
    Function(TrialId),
    /// Data or code differ from the record.
    #[error("this is not as it was when trial {trial} ran: {}", .problems.join("; "))]
    Changed {
        /// The trial to be repeated.
        trial: TrialId,
        /// The differences, each as a phrase.
        problems: Vec<String>,
    },
    /// A file or folder of the new study could not be created.
    #[error("`{}` could not be created", .path.display())]
    Make {
        /// The path of the file or folder.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The version of the sweep file was not kept, or this version of swath does not accept it.
    #[error(transparent)]
    Version(#[from] super::VersionError),
    /// The recorded commit could not be checked out.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The journal of either study could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The new study could not be opened.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// A trial that is ready to be repeated.
pub struct Prepared {
    /// The new study, in which the trial waits as trial 1.
    pub opened: Opened<'static>,
    /// Messages for the user.
    pub notices: Vec<String>,
    /// Whether the original was ended before it ended by itself.
    pub cut: bool,
}

/// Creates a new study beside the original. The trial waits in it, and its code is in a folder of
/// the new study. The original is only read.
///
/// # Errors
/// If an input of the trial is missing, or differs from the record.
pub fn prepare(request: &Request<'_>, options: Options) -> Result<Prepared, RerunError> {
    let trial = request.trial;
    let record = Record::of(request.dir)?;
    let made = record
        .made(trial.id)
        .ok_or(RerunError::NotStarted(trial.id))?;
    if let Origin::Cloned { from, .. } = trial.origin {
        return Err(RerunError::Cloned {
            trial: trial.id,
            from,
        });
    }
    let environment = record
        .environment(trial.id)
        .ok_or(RerunError::NoEnvironment(trial.id))?;
    let sweep = Versions::of(request.registry, request.dir).sweep(&made.header.sweep)?;
    if sweep.run.command.is_empty() {
        return Err(RerunError::Function(trial.id));
    }
    let (filled, _) = hidden::fill(Cow::Owned(sweep)).map_err(RunError::from)?;
    let mut sweep = filled.into_owned();
    let mut inputs = Inputs::new(request, environment, &sweep);
    inputs.check_data(request, environment);
    inputs.take_configs(request, &mut sweep);
    let dir = fresh(&options.logs, request)?;
    if sweep.run.private {
        keep::make_private(&dir)?;
    }
    let workdir = match inputs.check_out(trial.id, &dir, &record, made, environment) {
        Ok(workdir) => workdir,
        // A study that cannot run is of no use: remove its folder.
        Err(error) => {
            let _ = std::fs::remove_dir_all(dir.root());
            return Err(error);
        }
    };
    inputs.bring_files(&mut sweep, &workdir, environment.found.as_ref());
    if !request.anyway && !inputs.problems.is_empty() {
        let _ = std::fs::remove_dir_all(dir.root());
        return Err(RerunError::Changed {
            trial: trial.id,
            problems: inputs.problems,
        });
    }
    for path in sweep.data_paths_mut() {
        *path = inputs.home.join(&*path).display().to_string();
    }
    sweep.run.data_home = Some(inputs.home.clone());
    sweep.run.workdir = Some(workdir);
    sweep.run.env = variables_as_they_were(&sweep.run.env, environment);
    sweep.name = name_of(&dir);
    let git = inputs.git(environment, &record);
    let opened = open(request, made, sweep, options, dir, git)?;
    let mut notices = inputs.notices;
    notices.extend(inputs.problems);
    Ok(Prepared {
        opened,
        notices,
        cut: is_cut(trial),
    })
}

/// Returns whether a trial was ended before it ended by itself.
fn is_cut(trial: &Trial) -> bool {
    trial.verdict == Some(Verdict::Complete)
        || matches!(
            trial.state,
            TrialState::Stopped | TrialState::Paused | TrialState::Waiting | TrialState::Running
        )
}

/// Returns the name of a study, which is that of its folder.
fn name_of(dir: &StudyDir) -> String {
    dir.root()
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Creates the folder `<study>-repro-<trial>`, with a number appended if it exists already.
fn fresh(logs: &Path, request: &Request<'_>) -> Result<StudyDir, RerunError> {
    let base = format!("{}-repro-{}", request.study.header().name, request.trial.id);
    let names = std::iter::once(base.clone()).chain((2..).map(|count| format!("{base}-{count}")));
    for name in names {
        let dir = StudyDir::new(logs, &name);
        match std::fs::create_dir(dir.root()) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(RerunError::Make {
                    path: dir.root().to_owned(),
                    source,
                });
            }
        }
    }
    Err(RerunError::NotStarted(request.trial.id))
}

/// Returns the environment variables of the sweep file, and the user's variables that influence
/// computations, as they were recorded.
fn variables_as_they_were(
    of_sweep: &[(String, String)],
    environment: &Environment,
) -> Vec<(String, String)> {
    let recorded = environment
        .variables
        .iter()
        .filter(|(name, _)| variables::STEERING.contains(&name.as_str()));
    // A variable of the sweep file overrides one of the user.
    let recorded = recorded
        .filter(|(name, _)| !of_sweep.iter().any(|(other, _)| other == *name))
        .map(|(name, value)| (name.clone(), value.clone()));
    of_sweep.iter().cloned().chain(recorded).collect()
}

/// The locations of the trial's inputs, and the differences found in them.
struct Inputs {
    /// The folder to which the paths in the sweep file are relative.
    home: PathBuf,
    /// The folder in which the trial ran.
    ran_in: PathBuf,
    problems: Vec<String>,
    notices: Vec<String>,
}

impl Inputs {
    /// Returns the locations: those of the record, or `project` for all of them.
    fn new(request: &Request<'_>, environment: &Environment, sweep: &Sweep) -> Self {
        let called_in = Path::new(&environment.workdir);
        let home = called_in.join(sweep.run.workdir.clone().unwrap_or_default());
        let ran_in = PathBuf::from(environment.trials_in());
        match request.project {
            Some(project) => {
                let project = std::path::absolute(project).unwrap_or_else(|_| project.to_owned());
                Self {
                    home: project.clone(),
                    ran_in: project,
                    problems: Vec::new(),
                    notices: Vec::new(),
                }
            }
            None => Self {
                home,
                ran_in,
                problems: Vec::new(),
                notices: Vec::new(),
            },
        }
    }

    /// Compares the data sets that the trial read with their recorded digests.
    fn check_data(&mut self, request: &Request<'_>, environment: &Environment) {
        let own_workdir = environment.own_workdir(&request.dir.trial(request.trial.id));
        let cache = DigestCache::open(&request.dir.digests());
        // The repetition prepares anew what the trial read of preparations.
        let records = request.trial.records.iter();
        for record in records.filter(|record| !is_input(record)) {
            let LogRecord::Dataset {
                data_dir,
                md5: Some(md5),
                ..
            } = record
            else {
                continue;
            };
            // A trial may have made the data set in its own folder.
            let own = own_workdir.as_ref().map(|own| own.join(data_dir));
            let path = match own {
                Some(own) if own.exists() => own,
                _ => self.ran_in.join(data_dir),
            };
            match digest(&path, Some(&cache)) {
                Ok(found) if found.md5 == *md5 => {}
                Ok(found) => {
                    self.problems.push(format!(
                        "the data set `{data_dir}` was {md5}, is {}",
                        found.md5
                    ));
                }
                Err(error) => self
                    .problems
                    .push(format!("the data set `{data_dir}`: {error}")),
            }
        }
    }

    /// Gives the repetition the copies of the configuration files that the trial itself had. The
    /// files from which they were made may have changed since.
    fn take_configs(&mut self, request: &Request<'_>, sweep: &mut Sweep) {
        if sweep.run.configs.is_empty() {
            return;
        }
        let folder = request.dir.trial(request.trial.id);
        self.problems.extend(sweep.take_copies(&folder));
    }

    /// Checks out the recorded code in a folder of the new study. Returns the folder within it in
    /// which the trial runs.
    fn check_out(
        &mut self,
        trial: TrialId,
        dir: &StudyDir,
        record: &Record,
        made: &Made,
        environment: &Environment,
    ) -> Result<PathBuf, RerunError> {
        let Some(git) = &environment.git else {
            return self.copy(dir, environment);
        };
        let to = dir.clone_of(&git.commit);
        let to = std::path::absolute(&to).unwrap_or(to);
        let Some(checkout) =
            Checkout::of(&self.ran_in).filter(|checkout| checkout.has(&git.commit))
        else {
            let (commit, folder) = (&git.commit, self.ran_in.display());
            let problem = format!(
                "`{folder}` is not in a git repository that has commit {commit}; name another one with \
                 `--workdir`"
            );
            return Err(RerunError::Changed {
                trial,
                problems: vec![problem],
            });
        };
        check_out(&checkout.root, &git.commit, &to)?;
        if let Some(md5) = &made.header.code_patch {
            match record.patches.get(md5) {
                Some(patch) => self.apply(&to, patch),
                None => self.problems.push(format!(
                    "the patch with md5 {md5} is not in the study any more"
                )),
            }
        }
        if !git.left_out.is_empty() {
            self.notices.push(format!(
                "not part of the recorded code: {}",
                git.left_out.join(", ")
            ));
        }
        Ok(to.join(checkout.prefix))
    }

    /// Applies the recorded patch to the clone in `to`.
    fn apply(&mut self, to: &Path, patch: &Path) {
        let patch = std::path::absolute(patch).unwrap_or_else(|_| patch.to_owned());
        let mut command = git(to, &["apply", "--index", "--binary", "--whitespace=nowarn"]);
        let output = command
            .arg(patch)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output();
        match output {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                self.problems
                    .push(format!("the uncommitted changes cannot be applied: {text}"));
            }
            Err(error) => self
                .problems
                .push(format!("git cannot be started: {error}")),
        }
    }

    /// Copies the folder of a program that is in no git repository.
    fn copy(&mut self, dir: &StudyDir, environment: &Environment) -> Result<PathBuf, RerunError> {
        let to = dir.clone_of("copy");
        let to = std::path::absolute(&to).unwrap_or(to);
        let mut besides = vec![dir.root().parent().map(Path::to_owned).unwrap_or_default()];
        besides.push(Path::new(&environment.workdir).join(".git"));
        copy::copy(&self.ran_in, &to, &besides).map_err(|source| RerunError::Make {
            path: to.clone(),
            source,
        })?;
        let folder = self.ran_in.display();
        self.notices.push(format!(
            "the code is not in a git repository: the trial runs a copy of `{folder}` as it is now"
        ));
        Ok(to)
    }

    /// Compares the files that the command names with their recorded digests. Files that are not
    /// part of the code are used from their original place.
    fn bring_files(&mut self, sweep: &mut Sweep, workdir: &Path, found: Option<&Found>) {
        let Some(found) = found else { return };
        let configs: Vec<String> = sweep
            .run
            .configs
            .iter()
            .map(|file| file.path.clone())
            .collect();
        for (index, file) in found.files.iter().enumerate() {
            // The repetition gets the trial's own copy.
            if index > 0 && configs.contains(&file.name) {
                continue;
            }
            let here = workdir.join(&file.name);
            let is_path = file.name.contains('/') || index > 0;
            let path = if is_path && here.is_file() {
                here.clone()
            } else {
                file.path.clone()
            };
            // The setup may build the program, which then need not exist yet.
            let may_be_built = index == 0 && !sweep.run.setup.is_empty() && is_path;
            match digest(&path, None) {
                Ok(digest) if digest.md5 == file.md5 => {}
                _ if may_be_built && !here.is_file() => continue,
                Ok(digest) => {
                    self.problems.push(format!(
                        "`{}` was {}, is {}",
                        file.name, file.md5, digest.md5
                    ));
                }
                Err(error) => self.problems.push(format!("`{}`: {error}", file.name)),
            }
            if !is_path || here.exists() || may_be_built {
                continue;
            }
            if index == 0 {
                // Not a link: an interpreter in a virtual environment finds its packages relative
                // to its own path.
                sweep
                    .run
                    .command
                    .set_program(&file.path.display().to_string());
            } else if let Err(error) = link(&file.path, &here) {
                self.problems
                    .push(format!("`{}` could not be linked: {error}", file.name));
            }
        }
    }

    /// Returns the description of the code for the record of the new study.
    fn git(&self, environment: &Environment, record: &Record) -> Option<Git> {
        let mut git = environment.git.clone()?;
        let patch = git
            .patch_md5
            .as_ref()
            .and_then(|md5| std::fs::read(record.patches.get(md5)?).ok());
        git.patch = patch.unwrap_or_default();
        Some(git)
    }
}

/// Links a file, and creates the folders above the link.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::os::unix::fs::symlink(from, to)
}

/// Writes a journal in which the trial waits, and opens the new study.
fn open(
    request: &Request<'_>,
    made: &Made,
    mut sweep: Sweep,
    options: Options,
    dir: StudyDir,
    git: Option<Git>,
) -> Result<Opened<'static>, RerunError> {
    let trial = request.trial;
    let header = Header {
        swath: env!("CARGO_PKG_VERSION").to_owned(),
        id: Some(new_id()),
        name: sweep.name.clone(),
        trials: Some(1),
        slots: 1,
        ..Header::clone(&made.header)
    };
    let note = serde_json::json!({ "study": request.study.header().name, "trial": trial.id });
    std::fs::write(dir.repro(), format!("{note}\n")).map_err(|source| RerunError::Make {
        path: dir.repro(),
        source,
    })?;
    let mut journal = Journal::open(&dir)?.into_writer()?;
    let now = Timestamp::now();
    journal.append(
        Event::Opened {
            format: FORMAT,
            header: header.clone(),
        },
        now,
    )?;
    let created = Event::Created {
        trial: TrialId(1),
        params: trial.params.clone(),
        origin: Origin::Added,
        seed: trial.seed,
    };
    journal.append(created, now)?;
    journal.sync()?;
    drop(journal);
    // A trial that was cut has to be stopped at the same report, because later reports have no
    // counterpart.
    let scheduler = AsFar {
        reports: is_cut(trial).then_some(trial.reports),
        until: made.until,
    };
    let plan = work_plan(&sweep, &options).map_err(RunError::from)?;
    let own_workdir = plan.map(|plan| plan.files.workdir());
    // The repetition is one attempt: it has no budget, is not retried, and keeps all it makes.
    let parts = Parts {
        limits: Limits {
            quick_failures: None,
            ..Limits::default()
        },
        retry: Retry::default(),
        keep: Keep::default(),
        workdir: workdir(&sweep, &options),
        own_workdir: own_workdir.clone(),
        elsewhere: false,
        ..parts(&sweep, header, Box::new(Nothing), Box::new(scheduler))
    };
    let machine = Machine::here();
    let shares = resources::share(&sweep, &options, &machine).map_err(RunError::from)?;
    let implied = sources::implied(&sweep, &workdir(&sweep, &options));
    if let Some(Implied::Source(source)) = implied {
        sweep.sources.push(source);
    }
    let plan = sweep.build(shares.slots, Some(dir.root()));
    let plan = plan.map_err(|rejected| RunError::Rejected(Box::new(rejected)))?;
    let sources = plan.sources;
    let holder = machine.holder(now);
    let driver = Driver::open(dir.clone(), parts, &holder, Box::new(Timestamp::now))
        .map_err(RunError::from)?;
    let secrets = variables::secrets(&sweep.run.env, &sweep.run.secret_env);
    let environment = keep::keep(
        &dir,
        &sweep,
        &options,
        machine,
        (git, own_workdir),
        driver.study().next_seq(),
    )?;
    Ok(Opened {
        sweep: Cow::Owned(sweep),
        options,
        environment,
        notice: None,
        secrets,
        stands_for: Some(trial.id),
        dir,
        driver,
        shares,
        trackers: Vec::new(),
        sources,
        interrupt: Rc::default(),
    })
}
