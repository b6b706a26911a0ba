//! Writes a folder that MLflow's file store reads:
//! `ROOT/<experiment>/<run>/{meta.yaml,metrics,params,tags,artifacts,inputs}`.
//!
//! The ids derive from the names of the experiment and the study, so that the same journal leaves
//! the same bytes. A run is written anew when the entry that creates it arrives again. Other runs
//! and experiments in the folder are not touched.

use super::names::{self, digest};
use super::runs::{Change, Op, PARENT, Status};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};
use swath_engine::tracker::home::failed;
use swath_engine::tracker::retry::{is_full, with_backoff};
use swath_engine::tracker::{TrackerError, regular};

/// Number of buffered bytes of metric rows from which on they are written.
const FULL: usize = 1 << 20;

/// The characters that are percent-encoded in the path of a URI.
pub(super) const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The file store: writes runs into a folder.
#[derive(Debug)]
pub(super) struct Files {
    /// The root of the file store.
    root: PathBuf,
    /// The study folder, which contains the artifacts of the trials.
    study: Option<PathBuf>,
    /// The name of the experiment; the study's name if absent.
    experiment: Option<String>,
    /// The folder of the experiment, once the study is open.
    folder: PathBuf,
    /// The id of the experiment, once the study is open.
    id: String,
    /// The runs by their number, see [`Op`].
    runs: BTreeMap<u32, Run>,
    /// Number of buffered bytes of metric rows.
    buffered: usize,
    /// The files that could not be added, with reasons.
    pub(super) left_out: Vec<String>,
}

/// The fields of a run's `meta.yaml`, and the buffered rows of its metrics by key.
#[derive(Debug)]
struct Run {
    id: String,
    folder: PathBuf,
    name: String,
    start: i64,
    end: Option<i64>,
    status: Status,
    rows: BTreeMap<String, String>,
}

impl Files {
    /// Returns a store in the folder `root`. Nothing is written before the study opens.
    pub(super) fn new(root: PathBuf, study: Option<PathBuf>, experiment: Option<String>) -> Self {
        let root = std::path::absolute(&root).unwrap_or(root);
        let (folder, id) = (PathBuf::new(), String::new());
        Self {
            root,
            study,
            experiment,
            folder,
            id,
            runs: BTreeMap::new(),
            buffered: 0,
            left_out: Vec::new(),
        }
    }

    /// Carries out the operations of an entry.
    pub(super) fn take(
        &mut self,
        uid: &str,
        study: &str,
        ops: Vec<Op>,
    ) -> Result<(), TrackerError> {
        for Op { run, change } in ops {
            if let (PARENT, Change::Create { at, .. }) = (run, &change) {
                let name = self.experiment.clone().unwrap_or_else(|| study.to_owned());
                self.open(&name, *at)?;
            }
            self.apply(uid, run, change)?;
        }
        if self.buffered >= FULL {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes the buffered metric rows.
    pub(super) fn flush(&mut self) -> Result<(), TrackerError> {
        self.buffered = 0;
        for run in self.runs.values_mut() {
            let folder = run.folder.join("metrics");
            while let Some(entry) = run.rows.first_entry() {
                write_key(&folder, entry.key(), |path| {
                    append(path, entry.get().as_bytes())
                })?;
                entry.remove();
            }
        }
        Ok(())
    }

    /// Finds the experiment by its name, or creates it.
    fn open(&mut self, name: &str, at: i64) -> Result<(), TrackerError> {
        // MLflow's file store keeps deleted runs in this folder.
        make(&self.root.join(".trash"))?;
        self.id = find_experiment(&self.root, name).unwrap_or_else(|| experiment_id(name));
        self.folder = self.root.join(&self.id);
        let meta = self.folder.join("meta.yaml");
        // The experiment exists already, and may contain runs of other programs: use it as it is.
        if meta.exists() {
            return Ok(());
        }
        make(&self.folder.join("tags"))?;
        let (location, id, name) = (file_uri(&self.folder), &self.id, scalar(name));
        let text = format!(
            "artifact_location: {}\ncreation_time: {at}\neffective_trace_archival_retention: null\n\
             experiment_id: '{id}'\nlast_update_time: {at}\nlifecycle_stage: active\nname: {name}\n\
             trace_location: null\nworkspace: default\n",
            scalar(&location)
        );
        write(&meta, &text)
    }

    /// Carries out one operation on the run with this number.
    fn apply(&mut self, uid: &str, number: u32, change: Change) -> Result<(), TrackerError> {
        if let Change::Create {
            name,
            at: start,
            tags,
        } = change
        {
            let run = self.create(uid, number, name, start)?;
            if number != PARENT {
                let parent = run_id(uid, PARENT);
                write(&run.folder.join("tags/mlflow.parentRunId"), &parent)?;
            }
            for (key, value) in tags {
                write_key(&run.folder.join("tags"), &key, |path| {
                    fs::write(path, &value)
                })?;
            }
            self.runs.insert(number, run);
            return Ok(());
        }
        let Some(run) = self.runs.get_mut(&number) else {
            return Ok(());
        };
        match change {
            Change::Create { .. } => {}
            Change::Param { key, value } => {
                write_key(&run.folder.join("params"), &key, |path| {
                    fs::write(path, &value)
                })?;
            }
            Change::Tag { key, value } => {
                write_key(&run.folder.join("tags"), &key, |path| {
                    fs::write(path, &value)
                })?;
            }
            Change::Metric {
                key,
                value,
                at,
                step,
            } => {
                let row = format!("{at} {} {step}\n", python_number(value.0));
                self.buffered += row.len();
                run.rows.entry(key).or_default().push_str(&row);
            }
            Change::Rescale { key, factor } => run.rescale(&key, factor)?,
            Change::Status { status, end } => {
                (run.status, run.end) = (status, end);
                run.write(&self.id)?;
            }
            Change::Dataset {
                name,
                digest,
                source,
                context,
            } => {
                dataset(&self.folder, run, [&name, &digest, &source, &context])?;
            }
            Change::File { trial, path } => {
                let from = self
                    .study
                    .as_ref()
                    .map(|study| study.join(trial.to_string()).join(&path));
                let Some(from) = from else { return Ok(()) };
                if from.exists() && !from.is_file() {
                    let why = format!("`{}` is no regular file", from.display());
                    self.left_out.push(why);
                }
                add_artifact(&from, &run.folder.join("artifacts").join(artifact(&path)))?;
            }
            // A folder has no registry, which is checked when the tracker is built.
            Change::Register(_) => {}
        }
        Ok(())
    }

    /// Creates an empty run, and removes an earlier version of it.
    fn create(
        &self,
        uid: &str,
        number: u32,
        name: String,
        start: i64,
    ) -> Result<Run, TrackerError> {
        let id = run_id(uid, number);
        let folder = self.folder.join(&id);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&folder)(error));
            }
            _ => {}
        }
        for inside in ["metrics", "params", "tags", "artifacts"] {
            make(&folder.join(inside))?;
        }
        let run = Run {
            id,
            folder,
            name,
            start,
            end: None,
            status: Status::Running,
            rows: BTreeMap::new(),
        };
        run.write(&self.id)?;
        Ok(run)
    }
}

impl Run {
    /// Multiplies the steps of a metric's rows, both of buffered and of written ones.
    fn rescale(&mut self, key: &str, factor: i64) -> Result<(), TrackerError> {
        if let Some(rows) = self.rows.get_mut(key) {
            *rows = rescaled(rows, factor);
        }
        let folder = self.folder.join("metrics");
        for path in [folder.join(key), folder.join(names::flat(key))] {
            if path.is_file() {
                let rows = fs::read_to_string(&path).map_err(failed(&path))?;
                let rows = rescaled(&rows, factor);
                with_backoff(|| fs::write(&path, &rows).map_err(failed(&path)))?;
            }
        }
        Ok(())
    }

    /// Writes the run's `meta.yaml`.
    fn write(&self, experiment: &str) -> Result<(), TrackerError> {
        let Self {
            id, name, start, ..
        } = self;
        let end = self
            .end
            .map_or_else(|| "null".to_owned(), |end| end.to_string());
        let status = match self.status {
            Status::Running => 1,
            Status::Scheduled => 2,
            Status::Finished => 3,
            Status::Failed => 4,
            Status::Killed => 5,
        };
        let uri = scalar(&file_uri(&self.folder.join("artifacts")));
        let text = format!(
            "artifact_uri: {uri}\nend_time: {end}\nentry_point_name: ''\nexperiment_id: '{experiment}'\n\
             lifecycle_stage: active\nrun_id: '{id}'\nrun_name: {}\nrun_uuid: '{id}'\nsource_name: ''\nsource_type: 4\n\
             source_version: ''\nstart_time: {start}\nstatus: {status}\ntags: []\nuser_id: ''\n",
            scalar(name)
        );
        write(&self.folder.join("meta.yaml"), &text)
    }
}

/// Returns the id of the experiment `name` in `root`, if there is one. Its `meta.yaml` may have
/// been written by MLflow, with other quotes.
fn find_experiment(root: &Path, name: &str) -> Option<String> {
    let lines = [
        format!("name: {name}"),
        format!("name: '{name}'"),
        format!("name: {}", scalar(name)),
    ];
    let mut ids: Vec<_> = fs::read_dir(root)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    ids.sort();
    ids.into_iter().find(|id| {
        let meta = fs::read_to_string(root.join(id).join("meta.yaml")).unwrap_or_default();
        meta.lines()
            .any(|line| lines.iter().any(|other| line == other))
    })
}

/// Returns an experiment id of 18 digits, derived from the name.
fn experiment_id(name: &str) -> String {
    let number = u64::from_str_radix(&digest(name)[..15], 16).unwrap_or_default();
    format!(
        "{:018}",
        100_000_000_000_000_000 + number % 900_000_000_000_000_000
    )
}

/// Returns the id of a run of the study `uid`: 32 hexadecimal digits.
fn run_id(uid: &str, run: u32) -> String {
    digest(&format!("{uid}/{run}"))
}

/// Writes a data set of the experiment and an input of the run that refers to it.
fn dataset(
    experiment: &Path,
    run: &Run,
    [name, md5, source, context]: [&str; 4],
) -> Result<(), TrackerError> {
    let id = digest(&format!("{name}{md5}"));
    let folder = experiment.join("datasets").join(&id);
    make(&folder)?;
    let (name, md5) = (scalar(name), scalar(md5));
    let source = scalar(&serde_json::json!({ "uri": source }).to_string());
    write(
        &folder.join("meta.yaml"),
        &format!(
            "digest: {md5}\nname: {name}\nprofile: null\nschema: null\nsource: {source}\nsource_type: local\n"
        ),
    )?;
    let folder = run
        .folder
        .join("inputs")
        .join(digest(&format!("{id}{}", run.id)));
    make(&folder)?;
    let tags = match context {
        "" => "tags: {}\n".to_owned(),
        context => format!("tags:\n  mlflow.data.context: {}\n", scalar(context)),
    };
    let run = &run.id;
    let text = format!(
        "destination_id: '{run}'\ndestination_type: RUN\nsource_id: '{id}'\nsource_type: DATASET\n{tags}"
    );
    write(&folder.join("meta.yaml"), &text)
}

/// Returns the artifact path of a file in the trial's folder: the same path without a leading
/// `artifacts/`.
pub(super) fn artifact(path: &str) -> String {
    path.strip_prefix("artifacts/").unwrap_or(path).to_owned()
}

/// Adds a regular file to the artifacts, as a hard link if possible and as a copy otherwise. Other
/// kinds of file are skipped.
fn add_artifact(from: &Path, to: &Path) -> Result<(), TrackerError> {
    // A path with `..` could lead out of the run's folder.
    if !from.is_file() || to.components().any(|part| part == Component::ParentDir) {
        return Ok(());
    }
    make(to.parent().unwrap_or(to))?;
    // Remove an earlier version first: a hard link needs a free name, and a copy would write into
    // the file to which the old name is linked.
    let _ = fs::remove_file(to);
    with_backoff(|| {
        fs::hard_link(from, to)
            .or_else(|_| regular::copy(from, to))
            .map_err(failed(to))
    })
}

/// Writes the file of a key. If a file is in the way of the key's folder, or a folder is in the way
/// of its file, the key is written without slashes.
fn write_key(
    folder: &Path,
    key: &str,
    mut write: impl FnMut(&Path) -> io::Result<()>,
) -> Result<(), TrackerError> {
    let path = folder.join(key);
    let parent = path.parent().unwrap_or(folder);
    with_backoff(|| {
        let created = match key.contains('/') {
            true => fs::create_dir_all(parent),
            false => Ok(()),
        };
        let written = match created.and_then(|()| write(&path)) {
            // Any other error may come from a file and a folder of the same name.
            Err(error) if !is_full(&error) => write(&folder.join(names::flat(key))),
            written => written,
        };
        written.map_err(failed(&path))
    })
}

/// Appends `rows` completely or not at all: after a failed write, the file is truncated to its old
/// length.
fn append(path: &Path, rows: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let before = file.metadata()?.len();
    let written = file.write_all(rows);
    if written.is_err() {
        file.set_len(before)?;
    }
    written
}

/// Returns rows of a metric with their steps multiplied by `factor`. Malformed rows are kept
/// unchanged.
fn rescaled(rows: &str, factor: i64) -> String {
    rows.lines()
        .map(|row| rescaled_row(row, factor).unwrap_or_else(|| format!("{row}\n")))
        .collect()
}

/// Returns a row with its step multiplied by `factor`; `None` if it is malformed.
fn rescaled_row(row: &str, factor: i64) -> Option<String> {
    let (point, step) = row.rsplit_once(' ')?;
    let step = step.parse::<i64>().ok()?.saturating_mul(factor);
    Some(format!("{point} {step}\n"))
}

/// Writes a file atomically.
fn write(path: &Path, text: &str) -> Result<(), TrackerError> {
    let part = path.with_extension("part");
    with_backoff(|| {
        let written = fs::write(&part, text).and_then(|()| fs::rename(&part, path));
        written.map_err(failed(path))
    })
}

/// Creates a folder with its parents.
fn make(folder: &Path) -> Result<(), TrackerError> {
    with_backoff(|| fs::create_dir_all(folder).map_err(failed(folder)))
}

/// Returns a number in a form that Python's `float` reads.
fn python_number(value: f64) -> String {
    match value {
        value if value.is_nan() => "nan".to_owned(),
        value if value.is_infinite() => if value > 0.0 { "inf" } else { "-inf" }.to_owned(),
        value => serde_json::Value::from(value).to_string(),
    }
}

/// Returns a text as a YAML scalar: JSON, with the characters that YAML does not allow unescaped
/// written as `\u` escapes.
fn scalar(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.chars()
        .map(|character| match character {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => format!("\\u{:04x}", u32::from(character)),
            _ => character.to_string(),
        })
        .collect()
}

/// Returns the percent-encoded `file://` URI of a path.
fn file_uri(path: &Path) -> String {
    format!(
        "file://{}",
        utf8_percent_encode(&path.to_string_lossy(), PATH)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mlflow::runs::Projection;
    use swath_model::demo::{Demo, text};
    use swath_model::study::{Exit, Failure, LogRecord, Study};

    fn written(demo: &Demo, root: &Path) -> BTreeMap<String, String> {
        let mut store = Files::new(root.to_owned(), None, None);
        let (mut study, mut projection) = (Study::default(), Projection::default());
        for entry in &demo.entries {
            study.apply(entry).unwrap();
            let ops = projection.translate(&study, entry);
            store
                .take(&projection.uid, &study.header().name, ops)
                .unwrap();
        }
        store.flush().unwrap();
        let mut files = BTreeMap::new();
        read(root, root, &mut files);
        files
    }

    fn read(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }

    fn demo() -> Demo {
        let mut demo = Demo::new(&["lr", "a", "a/b"]);
        let trial = demo.start(&[("lr", text("é")), ("a", text("1")), ("a/b", text("2"))]);
        demo.report(
            trial,
            &[
                ("val_loss", f64::NAN),
                ("../x", 1e-7),
                ("sub/m", f64::NEG_INFINITY),
            ],
        );
        demo.report(trial, &[("val_loss", 0.5)]);
        let (data_dir, role) = ("data/digits".into(), "train".into());
        demo.log(
            trial,
            LogRecord::Dataset {
                data_dir,
                role,
                md5: Some("0".repeat(32)),
                size: 1,
                files: 1,
                partial: Vec::new(),
            },
        );
        demo.end(trial, Exit::Failed(Failure::Code(3)));
        demo
    }

    #[test]
    fn a_run_is_laid_out_as_the_file_store_reads_it() {
        let root = tempfile::tempdir().unwrap();
        let files = written(&demo(), root.path());
        let run = format!("{}/{}", experiment_id("digits"), run_id(&uid(), 1));
        let content = |path: &str| files.get(&format!("{run}/{path}")).map(String::as_str);
        let (first, second) = (1_767_225_604_000_i64, 1_767_225_605_000_i64);
        assert_eq!(
            content("metrics/val_loss").unwrap(),
            format!("{first} nan 1\n{second} 0.5 2\n")
        );
        assert_eq!(
            content("metrics/sub/m").unwrap(),
            format!("{first} -inf 1\n")
        );
        assert_eq!(
            content(&format!("metrics/{}", names::key("../x"))).unwrap(),
            format!("{first} 1e-7 1\n")
        );
        assert_eq!(
            (content("params/lr"), content("params/a")),
            (Some("é"), Some("1"))
        );
        assert_eq!(
            content(&format!("params/{}", names::flat("a/b"))),
            Some("2")
        );
        assert_eq!(
            content("tags/mlflow.parentRunId"),
            Some(&*run_id(&uid(), PARENT))
        );
        assert_eq!(content("tags/swath.trial"), Some("digits/1"));
        let meta = content("meta.yaml").unwrap();
        assert!(
            meta.contains("\nend_time: 1767225607000\n") && meta.contains("\nstatus: 4\n"),
            "{meta}"
        );
        assert!(
            files
                .keys()
                .any(|path| path.starts_with(&format!("{run}/inputs/")))
        );
    }

    fn uid() -> String {
        crate::mlflow::runs::uid("digits", demo().entries[0].at)
    }

    #[test]
    fn the_same_entries_again_leave_the_same_bytes() {
        let root = tempfile::tempdir().unwrap();
        let once = written(&demo(), root.path());
        assert_eq!(written(&demo(), root.path()), once);
        fs::remove_dir_all(root.path()).unwrap();
        assert_eq!(written(&demo(), root.path()), once);
    }

    #[test]
    fn other_runs_and_experiments_are_left_alone_and_an_experiment_is_found_by_its_name() {
        let root = tempfile::tempdir().unwrap();
        let other = root.path().join("7/0123");
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("meta.yaml"), "mine").unwrap();
        fs::write(
            root.path().join("7/meta.yaml"),
            "experiment_id: '7'\nname: digits\n",
        )
        .unwrap();
        let files = written(&demo(), root.path());
        assert_eq!(files["7/0123/meta.yaml"], "mine");
        assert!(files.contains_key(&format!("7/{}/meta.yaml", run_id(&uid(), 1))));
        assert!(!files.contains_key(&format!("{}/meta.yaml", experiment_id("digits"))));
    }

    #[test]
    fn any_text_is_a_yaml_scalar() {
        assert_eq!(scalar("a: \"é\"\n\u{85}"), "\"a: \\\"é\\\"\\n\\u0085\"");
    }
}
