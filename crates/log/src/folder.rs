//! The trial's folder in the layout that MLXP's Reader reads: `metadata/config.yaml`,
//! `metadata/info.yaml`, `params.json`.
//!
//! A trial may take a millisecond, so the folder is written with few system calls: `info.yaml` once
//! when the trial runs and once, in place, at its end. All paths in it are relative, so that a
//! study can be moved.

use super::{Answer, HELD, Identity, Recorded, regular, seal, yaml};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use swath_model::space::{Params, Value};
use swath_model::study::{Exit, Timestamp, Usage};

/// The private working directory of a trial in its folder.
pub const WORK: &str = "work";

/// The folder of a study in which the clones of `[run] code = "clone"` are, each named after its
/// commit.
pub const CLONES: &str = "code";

/// The extensions of files that an interpreter runs.
const SCRIPTS: [&str; 10] = ["R", "jl", "js", "lua", "m", "pl", "py", "r", "rb", "sh"];

/// The folder in the trial's folder for what a program logs to libraries of Python, which the source
/// `python` translates.
pub const LOGGED: &str = "logged";

/// The entries of the trial's folder that an attempt leaves behind. An attempt that does not resume
/// must not find them.
const LEFT_BY_ATTEMPT: [&str; 10] = [
    WORK,
    LOGGED,
    "metrics",
    "artifacts",
    "checkpoints",
    seal::FILE,
    HELD,
    "records.jsonl",
    "stdout.log",
    "stderr.log",
];

/// Files that are removed at the end of an attempt if they are empty.
const OFTEN_EMPTY: [&str; 3] = ["stdout.log", "stderr.log", "records.jsonl"];

/// The beginning of the last line of `info.yaml`: a comment with the checksum of the lines before.
const SEAL: &str = "# crc32: ";

/// The facts about an attempt when its folder is created.
#[derive(Debug, Clone)]
pub struct Beginning<'a> {
    /// The trial's folder, which is created if it is missing.
    pub dir: &'a Path,
    /// The attempt that runs.
    pub identity: &'a Identity,
    /// The trial's configuration.
    pub params: &'a Params,
    /// The value of `SWATH_SEED`.
    pub seed: u64,
    /// The working directory of the trial.
    pub workdir: &'a Path,
    /// The rendered command; empty for a closure.
    pub command: &'a [String],
    /// Whether the attempt resumes from a checkpoint. If not, the files of earlier attempts are
    /// moved to `attempts/<n>/`.
    pub resume: bool,
    /// The time at which the attempt begins.
    pub at: Timestamp,
}

/// The folder of a running trial.
#[derive(Debug)]
pub struct TrialFolder {
    dir: PathBuf,
    /// The parts of `info.yaml` that do not change: `program` between the status and the process
    /// id, `about` and `swath` after the times.
    program: String,
    about: String,
    swath: String,
    pid: Option<u32>,
    began: Timestamp,
    info: Option<File>,
    written: usize,
}

impl TrialFolder {
    /// Creates the folder with `metadata/config.yaml` and `params.json`, before the trial is
    /// started.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn begin(beginning: &Beginning<'_>) -> io::Result<Self> {
        let Beginning {
            dir,
            params,
            identity,
            ..
        } = *beginning;
        let metadata = dir.join("metadata");
        // In the usual case one call suffices; only if it fails are parents and existing folders
        // considered.
        if fs::create_dir(&metadata).is_err() {
            fs::create_dir_all(&metadata)?;
        }
        if identity.attempt.0 > 1 {
            set_earlier_aside(dir, identity.attempt.0 - 1, beginning.resume)?;
        }
        regular::write(&metadata.join("config.yaml"), config(params).as_bytes())?;
        let mut json = serde_json::to_vec(params).map_err(io::Error::other)?;
        json.push(b'\n');
        regular::write(&dir.join("params.json"), &json)?;
        let commit = cloned_commit(beginning.workdir, dir);
        let settings = mlxp_settings(commit.is_some());
        regular::write(&metadata.join("mlxpy.yaml"), settings.as_bytes())?;
        Ok(Self {
            dir: dir.to_path_buf(),
            program: program_section(beginning.command),
            about: logger_section(beginning, commit.as_deref()),
            swath: swath_section(beginning),
            pid: None,
            began: beginning.at,
            info: None,
            written: 0,
        })
    }

    /// Writes `metadata/info.yaml` with status RUNNING, once the process id is known (for a
    /// closure: that of this process).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn mark_running(&mut self, pid: u32) -> io::Result<()> {
        self.pid = Some(pid);
        self.write("RUNNING", None, "")
    }

    /// Completes `metadata/info.yaml`, and removes empty output files, an empty `records.jsonl` and
    /// an empty `checkpoints` folder.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn end(
        mut self,
        exit: &Exit,
        usage: &Usage,
        recorded: &Recorded,
        at: Timestamp,
    ) -> io::Result<()> {
        let mut end = end_section(exit, at);
        push_line(&mut end, "  seconds", |out| {
            yaml::float(out, at.since(self.began).as_secs_f64());
        });
        push_line(&mut end, "  cpu_seconds", |out| {
            yaml::float(out, usage.cpu_seconds);
        });
        push_line(&mut end, "  peak_mib", |out| {
            yaml::float(out, usage.peak_mib);
        });
        push_line(&mut end, "  reports", |out| {
            out.push_str(&recorded.reports.to_string());
        });
        push_line(&mut end, "  warnings", |out| {
            out.push_str(&recorded.warnings.to_string());
        });
        push_digests(&mut end, "  data", &recorded.data);
        push_digests(&mut end, "  models", &recorded.models);
        self.write(status(exit), Some(at), &end)?;
        for name in OFTEN_EMPTY {
            let path = self.dir.join(name);
            if fs::symlink_metadata(&path).is_ok_and(|about| about.is_file() && about.len() == 0) {
                fs::remove_file(path)?;
            }
        }
        let _ = fs::remove_dir(self.dir.join("checkpoints"));
        Ok(())
    }

    /// Moves the files of earlier attempts to `attempts/<last>/`, before an attempt that begins anew.
    /// The move is on the disk when this returns.
    ///
    /// # Errors
    /// If a file cannot be moved.
    pub fn set_aside(dir: &Path, last: u32) -> io::Result<()> {
        set_earlier_aside(dir, last, false)?;
        regular::open_folder(dir)?.sync_all()
    }

    /// Completes `info.yaml` of an attempt that has ended with facts that only the study has: the
    /// trial's result, the number of reports of all its attempts, and the exit that the study
    /// recorded. The latter differs if no process observed the end, or if an objective was never
    /// reported. Does nothing if there is no `info.yaml`.
    ///
    /// # Errors
    /// If `info.yaml` cannot be read or written.
    pub fn amend(
        dir: &Path,
        exit: &Exit,
        reports: u64,
        result: &[(String, Value)],
        at: Timestamp,
    ) -> io::Result<()> {
        let path = dir.join("metadata/info.yaml");
        let old = match regular::read_to_string(&path) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut new = String::with_capacity(old.len() + 64);
        let (date, time) = local_date_and_time(at);
        let mut has_exit = false;
        // An earlier result is the last section and is written anew, and so is the checksum.
        let old = split_seal(&old).0;
        let old = old
            .split_once("\n  result:\n")
            .map_or(old, |(before, _)| before);
        for row in old.lines() {
            match row {
                _ if row.starts_with("status: ") => new.extend(["status: ", status(exit)]),
                "end_date: ''" => new.extend(["end_date: ", &date]),
                "end_time: ''" => new.extend(["end_time: '", &time, "'"]),
                _ if row.starts_with("  exit: ") => {
                    has_exit = true;
                    push_line(&mut new, "  exit", |out| yaml::text(out, &exit.to_string()));
                    continue;
                }
                _ if row.starts_with("  reports: ") => {
                    let _ = write!(new, "  reports: {reports}");
                }
                _ => new.push_str(row),
            }
            new.push('\n');
        }
        // Only an attempt whose end was not observed lacks the line.
        if !has_exit {
            new.push_str(&end_section(exit, at));
        }
        if !result.is_empty() {
            new.push_str("  result:\n");
            new.push_str(&result_section(result));
        }
        seal(&mut new);
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(dir.join("metadata"))?;
        io::Write::write_all(&mut file, new.as_bytes())?;
        file.persist(path)?;
        Ok(())
    }

    /// Writes the whole of `info.yaml` in place.
    fn write(&mut self, status: &str, ended: Option<Timestamp>, tail: &str) -> io::Result<()> {
        let (start_date, start_time) = local_date_and_time(self.began);
        let (end_date, end_time) = ended.map(local_date_and_time).unwrap_or_default();
        let end_date = if end_date.is_empty() { "''" } else { &end_date };
        let pid = self
            .pid
            .map_or_else(|| "null".to_owned(), |pid| pid.to_string());
        let Self {
            program,
            about,
            swath,
            ..
        } = &self;
        let mut text = format!(
            "status: {status}\n{program}process_id: {pid}\nstart_date: {start_date}\n\
             start_time: '{start_time}'\nend_date: {end_date}\n\
             end_time: '{end_time}'\n{about}{swath}{tail}"
        );
        seal(&mut text);
        let file = match self.info.take() {
            Some(file) => file,
            None => regular::create(&self.dir.join("metadata/info.yaml"))?,
        };
        file.write_all_at(text.as_bytes(), 0)?;
        // The file still has the end of the longer text that it held before.
        if text.len() < self.written {
            file.set_len(text.len() as u64)?;
        }
        self.written = text.len();
        self.info = Some(file);
        Ok(())
    }
}

/// The parts of a trial's `info.yaml` that a study has, too.
#[derive(Debug, Clone)]
pub struct Description<'a> {
    /// The identity of the trial and its last attempt.
    pub identity: &'a Identity,
    /// The value of `SWATH_SEED`.
    pub seed: u64,
    /// The end of the last attempt.
    pub exit: &'a Exit,
    /// The trial's result.
    pub result: &'a [(String, Value)],
}

/// Returns the first field of an `info.yaml` that differs from the study, or `checksum` if the text
/// is not the one that swath wrote. A field that is missing does not differ, since earlier versions
/// wrote fewer, and no checksum.
#[must_use]
pub fn differing_field(info: &str, description: &Description<'_>) -> Option<String> {
    let (lines, checksum) = split_seal(info);
    let Identity {
        study,
        pipeline,
        stage,
        trial,
        attempt,
    } = description.identity;
    let fields = [
        ("  study: ", yaml_text(study)),
        ("  pipeline: ", yaml_text(pipeline)),
        ("  stage: ", yaml_text(stage)),
        ("  trial: ", trial.to_string()),
        ("  attempt: ", attempt.to_string()),
        ("  seed: ", description.seed.to_string()),
        ("  exit: ", yaml_text(&description.exit.to_string())),
        ("status: ", status(description.exit).to_owned()),
    ];
    let (about, result) = lines.split_once("\n  result:\n").unwrap_or((lines, ""));
    let differing = fields
        .iter()
        .map(|(key, value)| (*key, &**value))
        .find(|(key, value)| {
            let written = about.lines().find_map(|row| row.strip_prefix(key));
            written.is_some_and(|written| {
                let is_earlier_word = *key == "status: "
                    && status_of_earlier_versions(description.exit) == Some(written);
                written != *value && !is_earlier_word
            })
        });
    let expected = result_section(description.result);
    let (written, expected) = (
        result.lines().map(key_and_value),
        expected.lines().map(key_and_value),
    );
    // Another version of swath wrote a result of other fields.
    let has_same_fields = written
        .clone()
        .map(|row| row.0)
        .eq(expected.clone().map(|row| row.0));
    let mut in_result = written.zip(expected).filter(|_| has_same_fields);
    let differing_result = in_result.find(|(written, expected)| written.1 != expected.1);
    if let Some((key, _)) = differing.or(differing_result.map(|(written, _)| written)) {
        return Some(key.trim().trim_end_matches(':').to_owned());
    }
    let is_intact = match checksum {
        Some(checksum) => *checksum == checksum_of(lines),
        // The only comment that swath writes at the end is the checksum.
        None => !lines.lines().last().is_some_and(|row| row.starts_with('#')),
    };
    (!is_intact).then(|| "checksum".to_owned())
}

/// Returns the text of `metadata/config.yaml`.
#[must_use]
pub fn config(params: &Params) -> String {
    yaml::params(params)
}

/// Splits a row into its key, with the colon, and its value.
fn key_and_value(row: &str) -> (&str, &str) {
    row.split_at(row.find(": ").map_or(row.len(), |end| end + ": ".len()))
}

/// Appends the checksum of the text.
fn seal(text: &mut String) {
    let checksum = checksum_of(text);
    let _ = writeln!(text, "{SEAL}{checksum}");
}

/// Splits an `info.yaml` into its lines and their checksum, if it has one.
fn split_seal(text: &str) -> (&str, Option<&str>) {
    match text.rfind(SEAL) {
        Some(start) if start == 0 || text[..start].ends_with('\n') => {
            let checksum = text[start + SEAL.len()..].trim_end();
            (&text[..start], Some(checksum))
        }
        _ => (text, None),
    }
}

fn checksum_of(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

fn yaml_text(text: &str) -> String {
    let mut out = String::new();
    yaml::text(&mut out, text);
    out
}

/// Returns the rows of a trial's result.
fn result_section(result: &[(String, Value)]) -> String {
    let entries = result
        .iter()
        .map(|(name, value)| (name.as_str().into(), value.clone()));
    let mut out = String::new();
    for row in yaml::params(&entries.collect()).lines() {
        out.extend(["    ", row, "\n"]);
    }
    out
}

/// Moves the files of earlier attempts away, unless this attempt resumes from it, and removes its
/// `stop` file and answer.
fn set_earlier_aside(dir: &Path, last: u32, resume: bool) -> io::Result<()> {
    remove_if_present(&dir.join("stop"))?;
    Answer::clear(dir)?;
    if resume {
        return end_last_line(&dir.join("records.jsonl"));
    }
    // A power failure may have taken the start of an attempt from the journal, but not its files.
    // The attempt has the number of the lost one then, and finds the files that it set aside.
    let attempts = dir.join("attempts");
    let mut away = attempts.join(last.to_string());
    let mut number = 1;
    while away.symlink_metadata().is_ok() {
        away = attempts.join(format!("{last}.{number}"));
        number += 1;
    }
    for name in LEFT_BY_ATTEMPT {
        let from = dir.join(name);
        if from.symlink_metadata().is_ok() {
            fs::create_dir_all(&away)?;
            fs::rename(from, away.join(name))?;
        }
    }
    Ok(())
}

/// Ends an unfinished last line of a killed attempt, so that the first line of the next attempt
/// stands alone.
fn end_last_line(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = match regular::open_with(options.read(true).append(true), path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let mut last = *b"\n";
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    if last == *b"\n" {
        Ok(())
    } else {
        io::Write::write_all(&mut &file, b"\n")
    }
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns the word for the end of an attempt: MLXP's where it has one. MLXP's Reader reads any
/// word, and finds a trial that a scheduler stopped, or paused, under its own.
fn status(exit: &Exit) -> &'static str {
    match exit {
        Exit::Done => "COMPLETE",
        Exit::Stopped => "STOPPED",
        Exit::Paused => "PAUSED",
        // MLXP's word for a trial that is about to run.
        Exit::Interrupted => "STARTING",
        Exit::Failed(_) | Exit::Lost => "FAILED",
    }
}

/// Returns the word that earlier versions wrote for the end of an attempt, if it was another one.
fn status_of_earlier_versions(exit: &Exit) -> Option<&'static str> {
    match exit {
        Exit::Stopped => Some("COMPLETE"),
        Exit::Paused => Some("STARTING"),
        _ => None,
    }
}

/// Returns the program, the host on which it runs, and the user.
fn program_section(command: &[String]) -> String {
    let mut out = String::new();
    let program = command.first().map_or("", String::as_str);
    push_line(&mut out, "current_file_path", |out| {
        yaml::text(out, script_of(command).unwrap_or(program));
    });
    push_line(&mut out, "executable", |out| yaml::text(out, program));
    let host = rustix::system::uname();
    push_line(&mut out, "hostname", |out| {
        yaml::text(out, &host.nodename().to_string_lossy());
    });
    push_line(&mut out, "user", |out| match user() {
        Some(user) => yaml::text(out, user),
        None => out.push_str("null"),
    });
    out
}

/// Returns the first word of a command line that names a script.
fn script_of(command: &[String]) -> Option<&str> {
    command.iter().map(String::as_str).find(|word| {
        let extension = Path::new(word).extension().and_then(|end| end.to_str());
        !word.starts_with('-') && extension.is_some_and(|end| SCRIPTS.contains(&end))
    })
}

/// Returns the name of the user of this process. It is looked up once, since it cannot change.
fn user() -> Option<&'static str> {
    static USER: OnceLock<Option<String>> = OnceLock::new();
    let name = || {
        let users = regular::read_to_string(Path::new("/etc/passwd")).ok()?;
        let number = rustix::process::getuid().as_raw().to_string();
        let mut rows = users.lines().map(|row| row.split(':'));
        rows.find_map(|mut row| {
            let name = row.next()?;
            (row.nth(1)? == number).then(|| name.to_owned())
        })
    };
    USER.get_or_init(|| {
        // As Python's `getpass.getuser`: users of a directory service are not in `/etc/passwd`.
        let mut named = ["LOGNAME", "USER"].into_iter();
        named
            .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
            .or_else(name)
    })
    .as_deref()
}

/// Returns the commit of the study's clone that contains the workdir; `None` if the trial runs
/// elsewhere.
fn cloned_commit(workdir: &Path, dir: &Path) -> Option<String> {
    let clones = absolute(dir).parent()?.join(CLONES);
    let workdir = absolute(workdir);
    let commit = workdir.strip_prefix(clones).ok()?.components().next()?;
    Some(commit.as_os_str().to_string_lossy().into_owned())
}

/// Returns the text of `metadata/mlxpy.yaml`: the settings that MLXPy has, with the values that
/// describe a trial of swath.
fn mlxp_settings(is_cloned: bool) -> String {
    format!(
        "logger:\n  forced_log_id: -1\n  log_streams_to_file: true\n  name: DefaultLogger\n  \
         parent_log_dir: ..\nversion_manager:\n  name: GitVM\n  parent_work_dir: ../{CLONES}\n  \
         compute_requirements: false\nuse_logger: true\nuse_scheduler: false\n\
         use_version_manager: {is_cloned}\ninteractive_mode: false\n"
    )
}

/// Returns the workdir and the sections that MLXP has for its logger, scheduler and versions.
fn logger_section(beginning: &Beginning<'_>, commit: Option<&str>) -> String {
    let mut out = String::new();
    push_line(&mut out, "work_dir", |out| {
        yaml::text(out, &work_dir(beginning.workdir, beginning.dir));
    });
    let folder = beginning
        .dir
        .file_name()
        .and_then(|name| name.to_str()?.parse::<u32>().ok());
    let id = folder.unwrap_or(beginning.identity.trial.0);
    let _ = write!(
        out,
        "logger:\n  log_id: {id}\n  log_dir: .\n  metrics_dir: metrics\n  \
         metadata_dir: metadata\n  artifacts_dir: artifacts\n\
         scheduler: null\n"
    );
    let Some(commit) = commit else {
        out.push_str("version_manager: null\n");
        return out;
    };
    out.push_str("version_manager:\n");
    push_line(&mut out, "  commit_hash", |out| {
        // A commit may consist of digits alone.
        let _ = write!(out, "'{commit}'");
    });
    let clone = format!("../{CLONES}/{commit}");
    push_line(&mut out, "  work_dir", |out| yaml::text(out, &clone));
    out
}

/// Returns the workdir relative to the trial's folder if one of them contains the other (such as
/// `../../..` or `work`), because it then moves with the study. Otherwise returns the absolute path.
fn work_dir(workdir: &Path, dir: &Path) -> String {
    let (workdir, dir) = (absolute(workdir), absolute(dir));
    if let Ok(inside) = workdir.strip_prefix(&dir)
        && workdir != dir
    {
        return inside.to_string_lossy().into_owned();
    }
    match dir.strip_prefix(&workdir) {
        Ok(below) => {
            let up: Vec<&str> = below.components().map(|_| "..").collect();
            if up.is_empty() {
                ".".to_owned()
            } else {
                up.join("/")
            }
        }
        Err(_) => workdir.to_string_lossy().into_owned(),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Returns the section of the attempt's identity and command.
fn swath_section(beginning: &Beginning<'_>) -> String {
    let Beginning {
        identity,
        seed,
        command,
        at,
        ..
    } = *beginning;
    let mut out = "swath:\n".to_owned();
    for (key, word) in [
        ("  study", &identity.study),
        ("  pipeline", &identity.pipeline),
        ("  stage", &identity.stage),
    ] {
        push_line(&mut out, key, |out| yaml::text(out, word));
    }
    let _ = write!(
        out,
        "  trial: {}\n  attempt: {}\n  seed: {seed}\n",
        identity.trial, identity.attempt
    );
    push_line(&mut out, "  command", |out| {
        out.push('[');
        for (at, word) in command.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { ", " });
            yaml::text(out, word);
        }
        out.push(']');
    });
    push_line(&mut out, "  started_at", |out| {
        yaml::text(out, &at.to_string());
    });
    out
}

/// Returns the lines about the end of the attempt.
fn end_section(exit: &Exit, at: Timestamp) -> String {
    let mut out = String::new();
    push_line(&mut out, "  ended_at", |out| {
        yaml::text(out, &at.to_string());
    });
    push_line(&mut out, "  exit", |out| yaml::text(out, &exit.to_string()));
    out
}

fn push_digests(out: &mut String, key: &str, digests: &[(String, Option<String>)]) {
    if digests.is_empty() {
        return;
    }
    out.push_str(key);
    out.push_str(":\n");
    for (path, md5) in digests {
        push_line(out, "  - path", |out| yaml::text(out, path));
        push_line(out, "    md5", |out| match md5 {
            Some(md5) => {
                out.push('\'');
                out.push_str(md5);
                out.push('\'');
            }
            None => out.push_str("null"),
        });
    }
}

fn push_line(out: &mut String, key: &str, value: impl FnOnce(&mut String)) {
    out.push_str(key);
    out.push_str(": ");
    value(out);
    out.push('\n');
}

/// Returns date and time in MLXP's format, in this machine's time zone.
fn local_date_and_time(at: Timestamp) -> (String, String) {
    let zone = jiff::tz::TimeZone::system();
    let moment = jiff::Timestamp::from_microsecond(at.as_micros())
        .unwrap_or_default()
        .to_zoned(zone);
    let date = format!(
        "{:02}/{:02}/{:04}",
        moment.day(),
        moment.month(),
        moment.year()
    );
    (
        date,
        format!(
            "{:02}:{:02}:{:02}",
            moment.hour(),
            moment.minute(),
            moment.second()
        ),
    )
}

#[cfg(test)]
mod tests;
