//! Finds files that several trials of a run use, although each trial should have its own: a trial
//! that resumes from the `checkpoints/` of another one has a wrong result.
//!
//! The kernel tells that a file was written or read, but not by which process. It was one of the
//! trials that ran at that time. A file is shared for certain if no single trial ran each time that
//! it was used. Trials that all run at the same time cannot be told apart.

use super::component::Component;
use crate::journal::StudyDir;
use crate::platform::{Wanted, Watches};
use crate::provenance::is_code;
use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use swath_model::study::{Event, LogRecord, Study, TrialId};

/// Largest number of folders and of files in the watched folders. Larger trees are not watched.
const MOST_FOLDERS: usize = 1_000;
const MOST_FILES: usize = 20_000;

/// Parts of the warnings, by which a later run knows that there is one.
const CURE: &str = "`workdir = \"private\"` in [run]";
const THROUGH_A_LINK: &str = "was written through a link";

/// Folders whose contents programs share on purpose, or that tools write.
const SKIPPED_FOLDERS: [&str; 5] = [
    "__pycache__",
    "node_modules",
    "site-packages",
    "mlruns",
    "wandb",
];

/// Endings of files that programs share on purpose.
const SKIPPED_ENDINGS: [&str; 6] = ["db", "lock", "log", "md", "pyc", "sqlite"];

/// The files that are watched during a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// The folders that are watched with all folders in them.
    pub folders: Vec<PathBuf>,
    /// Single files that are watched.
    pub files: Vec<PathBuf>,
    /// Files and folders in them that are not watched: logs and data.
    pub besides: Vec<PathBuf>,
    /// Whether the trials reach the files through links in their private folders. Otherwise they
    /// run among them.
    pub is_linked: bool,
}

/// Returns the warning about shared files that a study has, and the trial that has it.
#[must_use]
pub fn shared_files_warning(study: &Study) -> Option<(TrialId, &str)> {
    study.trials().iter().find_map(|trial| {
        let mut warnings = trial.records.iter().filter_map(|record| match record {
            LogRecord::Warning { text } => Some(text.as_str()),
            _ => None,
        });
        let text = warnings.find(|text| text.contains(CURE) || text.contains(THROUGH_A_LINK))?;
        Some((trial.id, text))
    })
}

/// Follows the use of the watched files.
#[derive(Default)]
pub(super) struct SharedFiles {
    watched: Option<Watched>,
    watch: Option<Watch>,
    running: BTreeSet<TrialId>,
    /// By file, the trials that ran each time that it was written.
    writers: HashMap<PathBuf, BTreeSet<TrialId>>,
    findings: Vec<Finding>,
}

/// A file that is shared.
struct Finding {
    path: PathBuf,
    /// The trials that ran each time that it was written before.
    before: BTreeSet<TrialId>,
    /// The trials that ran when it was used this time.
    now: BTreeSet<TrialId>,
    is_read: bool,
}

impl Component for SharedFiles {
    fn on(&mut self, _: &Study, event: &Event) {
        match event {
            Event::Started { trial, .. } => {
                self.drain();
                self.running.insert(*trial);
            }
            Event::Ended { trial, .. } => {
                self.running.remove(trial);
            }
            _ => {}
        }
    }
}

impl SharedFiles {
    pub(super) fn new(watched: Option<Watched>) -> Self {
        Self {
            watched,
            ..Self::default()
        }
    }

    /// Begins to watch, unless an earlier run has warned already.
    pub(super) fn begin(&mut self, study: &Study) {
        if let Some(watched) = &self.watched
            && shared_files_warning(study).is_none()
        {
            self.watch = Watch::new(watched);
        }
        self.running = study.running().collect();
    }

    /// Takes in what has happened to the files since the last call. Must be called before the set of
    /// running trials changes.
    pub(super) fn drain(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let Some(uses) = watch.take_uses() else {
            self.watch = None;
            return;
        };
        for (path, is_read) in uses {
            self.note(path, is_read);
        }
        // The warning is given once, and names the files that were found until then.
        if !self.findings.is_empty() || self.writers.len() > MOST_FILES {
            self.watch = None;
        }
    }

    fn note(&mut self, path: PathBuf, is_read: bool) {
        let now = &self.running;
        if now.is_empty() {
            return;
        }
        let is_linked = self
            .watched
            .as_ref()
            .is_some_and(|watched| watched.is_linked);
        let is_shared = match self.writers.get_mut(&path) {
            _ if is_linked => true,
            None => {
                if let Some(watch) = &mut self.watch {
                    watch.add_file(&path);
                }
                self.writers.insert(path, now.clone());
                return;
            }
            Some(writers) if writers.is_disjoint(now) => true,
            Some(writers) => {
                if !is_read {
                    writers.retain(|trial| now.contains(trial));
                }
                false
            }
        };
        if is_shared && self.findings.iter().all(|finding| finding.path != path) {
            let before = self.writers.get(&path).cloned().unwrap_or_default();
            self.findings.push(Finding {
                path,
                before,
                now: now.clone(),
                is_read,
            });
        }
    }

    /// Returns the warning about the files that were found to be shared, once.
    pub(super) fn take_warning(&mut self) -> Option<String> {
        let findings = std::mem::take(&mut self.findings);
        let first = findings.first()?;
        let watched = self.watched.as_ref()?;
        let others = match findings.len() - 1 {
            0 => String::new(),
            1 => " (and another file)".to_owned(),
            more => format!(" (and {more} other files)"),
        };
        let path = watched.relative(&first.path);
        let now = listed(&first.now);
        Some(if watched.is_linked {
            format!(
                "`{path}`{others} {THROUGH_A_LINK} while {now} ran, so all trials see the change; name it in \
                 `copy` in [run], and not in `link`"
            )
        } else {
            let before = listed(&first.before);
            let used = if first.is_read {
                "read"
            } else {
                "written again"
            };
            format!(
                "`{path}`{others} was written while {before} ran and {used} while {now} ran: trials share \
                 the folder in which they run, so one may go on from what another wrote; give each its \
                 own folder: {CURE}"
            )
        })
    }
}

impl Watched {
    /// Returns a path as a user of the watched folders would write it.
    fn relative(&self, path: &Path) -> String {
        let inside = self.folders.iter().find_map(|folder| {
            let inside = path.strip_prefix(folder).ok()?;
            Some(match (self.is_linked, folder.file_name()) {
                (true, Some(name)) => Path::new(name).join(inside),
                _ => inside.to_owned(),
            })
        });
        inside.as_deref().unwrap_or(path).display().to_string()
    }

    fn skips_folder(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        is_hidden(path)
            || SKIPPED_FOLDERS.iter().any(|skipped| name == *skipped)
            || self.besides.iter().any(|besides| besides == path)
            || path.join("pyvenv.cfg").exists()
            || StudyDir::at(path).journal().exists()
    }
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

/// Returns whether a file is none that trials share by mistake. Code changes because it is edited.
fn skips_file(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    is_hidden(path)
        || is_code(path)
        || ending.is_some_and(|ending| SKIPPED_ENDINGS.contains(&ending))
        || path.to_string_lossy().contains(".tfevents.")
}

/// Returns `trial 3`, or `trial 1, 2 or 3` for one of several.
fn listed(trials: &BTreeSet<TrialId>) -> String {
    let names: Vec<String> = trials.iter().map(TrialId::to_string).collect();
    match names.as_slice() {
        [] => "no trial".to_owned(),
        [one] => format!("trial {one}"),
        [first @ .., last] => format!("trial {} or {last}", first.join(", ")),
    }
}

/// The watches of the system on the folders and files.
struct Watch {
    watches: Watches,
    watched: Watched,
    folders: HashMap<i32, PathBuf>,
    files: HashMap<i32, PathBuf>,
    /// The number of files in the watched folders.
    count: usize,
}

impl Watch {
    /// Watches the folders and files; `None` if there are too many, or the kernel refuses.
    fn new(watched: &Watched) -> Option<Self> {
        let mut watch = Self {
            watches: Watches::new()?,
            watched: watched.clone(),
            folders: HashMap::new(),
            files: HashMap::new(),
            count: 0,
        };
        for folder in &watched.folders {
            watch.add_folder(folder, &mut Vec::new())?;
        }
        for file in &watched.files {
            watch.add_file(file);
        }
        Some(watch)
    }

    /// Watches a folder with all folders in it, and adds its files to `found`. `None` if they are
    /// too many.
    fn add_folder(&mut self, folder: &Path, found: &mut Vec<PathBuf>) -> Option<()> {
        let mut waiting = vec![folder.to_owned()];
        while let Some(folder) = waiting.pop() {
            match self.watches.add(&folder, Wanted::FolderUse) {
                Ok(watch) => self.folders.insert(watch, folder.clone()),
                // The limit of watches; other errors are of this folder alone.
                Err(error) if error.kind() == ErrorKind::StorageFull => return None,
                Err(_) => continue,
            };
            // The folder is read after it is watched, so that no file is missed.
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && !self.watched.skips_folder(&path) => {
                        waiting.push(path);
                    }
                    Ok(kind) if kind.is_file() => {
                        self.count += 1;
                        found.push(path);
                    }
                    _ => {}
                }
            }
            if self.folders.len() + waiting.len() > MOST_FOLDERS || self.count > MOST_FILES {
                return None;
            }
        }
        Some(())
    }

    /// Watches a single file for being read or written.
    fn add_file(&mut self, file: &Path) {
        let wanted = match self.watched.is_linked {
            true => Wanted::Writes,
            false => Wanted::Reads,
        };
        if let Ok(watch) = self.watches.add(file, wanted) {
            self.files.insert(watch, file.to_owned());
        }
    }

    /// Returns the files that were used since the last call, each with whether it was only read.
    /// `None` if the use can no longer be followed.
    fn take_uses(&mut self) -> Option<Vec<(PathBuf, bool)>> {
        let mut uses = Vec::new();
        for change in self.watches.take() {
            if change.has_overflowed {
                return None;
            }
            if let Some(file) = self.files.get(&change.watch) {
                if change.is_read || change.is_written {
                    uses.push((file.clone(), change.is_read));
                }
                continue;
            }
            let Some(path) = self
                .folders
                .get(&change.watch)
                .zip(change.name)
                .map(|(at, name)| at.join(name))
            else {
                continue;
            };
            if change.is_folder {
                if !self.watched.skips_folder(&path) {
                    let mut files = Vec::new();
                    self.add_folder(&path, &mut files)?;
                    files.retain(|file| !skips_file(file));
                    uses.extend(files.into_iter().map(|file| (file, false)));
                }
            } else if (change.is_written || change.is_moved_here) && !skips_file(&path) {
                // A file that was moved here is another one than that of this name before.
                if change.is_moved_here && !self.watched.is_linked {
                    self.add_file(&path);
                }
                uses.push((path, false));
            }
        }
        Some(uses)
    }
}

#[cfg(all(test, target_os = "linux", not(feature = "portable")))]
mod tests {
    use super::*;
    use std::fs;
    use swath_model::demo::Demo;
    use swath_model::study::{Attempt, Exit, Usage};

    struct World {
        folder: tempfile::TempDir,
        demo: Demo,
        shared: SharedFiles,
    }

    impl World {
        fn new(is_linked: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("logs")).unwrap();
            let demo = Demo::new(&[]);
            let mut shared = SharedFiles::new(Some(Watched {
                folders: vec![folder.path().to_owned()],
                besides: vec![folder.path().join("logs")],
                is_linked,
                ..Watched::default()
            }));
            shared.begin(&demo.study);
            Self {
                folder,
                demo,
                shared,
            }
        }

        fn start(&mut self) -> TrialId {
            let trial = self.demo.start(&[]);
            let started = self.demo.entries.last().unwrap().event.clone();
            self.shared.on(&self.demo.study, &started);
            trial
        }

        /// Ends a trial as the driver does, and returns the warning.
        fn end(&mut self, trial: TrialId) -> Option<String> {
            self.shared.drain();
            let warning = self.shared.take_warning();
            let ended = Event::Ended {
                trial,
                attempt: Attempt(1),
                exit: Exit::Done,
                usage: Usage::default(),
            };
            self.shared.on(&self.demo.study, &ended);
            warning
        }

        fn write(&self, name: &str) {
            let path = self.folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "1").unwrap();
        }

        fn read(&self, name: &str) {
            fs::read(self.folder.path().join(name)).unwrap();
        }
    }

    #[test]
    fn a_file_that_two_trials_write_one_after_the_other_is_found_once() {
        let mut world = World::new(false);
        let first = world.start();
        world.write("checkpoints/last.json");
        assert_eq!(world.end(first), None);
        let second = world.start();
        world.write("checkpoints/last.json");
        world.write("checkpoints/last.json");
        let warning = world.end(second).unwrap();
        let expected = "`checkpoints/last.json` was written while trial 1 ran and written again while trial 2 \
                        ran: trials share the folder";
        assert!(warning.starts_with(expected), "{warning}");
        assert!(warning.contains("`workdir = \"private\"`"), "{warning}");
        let third = world.start();
        world.write("checkpoints/last.json");
        assert_eq!(world.end(third), None);
    }

    #[test]
    fn a_file_that_a_trial_reads_after_another_one_wrote_it_is_found() {
        let mut world = World::new(false);
        let first = world.start();
        world.write("last.json");
        assert_eq!(world.end(first), None);
        let second = world.start();
        world.read("last.json");
        let warning = world.end(second).unwrap();
        assert!(
            warning.contains("trial 1 ran and read while trial 2 ran"),
            "{warning}"
        );
    }

    #[test]
    fn two_trials_at_the_same_time_are_found_as_soon_as_a_third_uses_the_file() {
        let mut world = World::new(false);
        let (first, second) = (world.start(), world.start());
        world.write("out/last.json");
        assert_eq!(world.end(first), None);
        let third = world.start();
        assert_eq!(world.end(second), None);
        world.write("out/last.json");
        let warning = world.end(third).unwrap();
        assert!(warning.contains("while trial 1 or 2 ran and written again while trial 3"));
    }

    #[test]
    fn files_of_one_trial_each_and_files_that_nobody_shares_by_mistake_are_not_found() {
        let mut world = World::new(false);
        // A study that another run has in a folder of its own.
        world.write("other/s/journal.jsonl");
        for name in ["a", "b", "c"] {
            let trial = world.start();
            world.write(&format!("out/{name}.json"));
            world.write("train.py");
            world.write("__pycache__/train.pyc");
            world.write(".cache/x");
            world.write("logs/s/1/last.json");
            world.write("other/s/1/last.json");
            assert_eq!(world.end(trial), None, "{name}");
        }
        world.write("between.json");
        let trial = world.start();
        world.write("between.json");
        assert_eq!(world.end(trial), None, "no trial wrote it first");
    }

    #[test]
    fn a_write_through_a_link_is_found_at_once() {
        let mut world = World::new(true);
        let trial = world.start();
        world.write("cache.bin");
        let warning = world.end(trial).unwrap();
        assert!(warning.contains("cache.bin` was written through a link while trial 1 ran"));
    }
}
