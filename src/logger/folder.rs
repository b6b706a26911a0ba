//! The trial's folder in the layout that MLXP's Reader reads: `metadata/config.yaml`,
//! `metadata/info.yaml`, `params.json`.
//!
//! A trial may take a millisecond, so this is written with few system calls: `info.yaml` once when
//! the trial runs and once, in place, at its end. Every path in it is relative, so that a study can
//! be moved.

use super::{Answer, HELD, Identity, yaml};
use crate::space::{Params, Value};
use crate::study::{Exit, Timestamp, Usage};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What an attempt leaves in the trial's folder that the next one, which starts anew, must not
/// find.
const LEFT_BY_ATTEMPT: [&str; 7] = [
    "metrics",
    "artifacts",
    "checkpoints",
    HELD,
    "records.jsonl",
    "stdout.log",
    "stderr.log",
];

/// What is removed at the end where there is nothing in it.
const OFTEN_EMPTY: [&str; 3] = ["stdout.log", "stderr.log", "records.jsonl"];

/// What is known of an attempt when its folder is made.
#[derive(Debug, Clone)]
pub struct Beginning<'a> {
    /// The trial's folder; made if it is not there.
    pub dir: &'a Path,
    /// What runs.
    pub identity: &'a Identity,
    /// Its configuration.
    pub params: &'a Params,
    /// What `SWATH_SEED` is.
    pub seed: u64,
    /// The directory it runs in.
    pub workdir: &'a Path,
    /// The rendered command; empty for a closure.
    pub command: &'a [String],
    /// Whether it goes on from a checkpoint. If not, what earlier attempts left is moved to
    /// `attempts/<n>/`.
    pub resume: bool,
    /// When it begins.
    pub at: Timestamp,
}

/// What a logger recorded that `info.yaml` repeats.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// Data sets: path and digest.
    pub data: Vec<(String, Option<String>)>,
    /// Models: path and digest, the last of each path.
    pub models: Vec<(String, Option<String>)>,
    /// Reports received.
    pub reports: u64,
    /// Warnings, also those no longer shown one by one.
    pub warnings: u64,
}

/// The folder of a running trial.
#[derive(Debug)]
pub struct TrialFolder {
    dir: PathBuf,
    /// The part of `info.yaml` between the status and the process, and what follows the times.
    program: String,
    about: String,
    swath: String,
    pid: Option<u32>,
    began: Timestamp,
    info: Option<File>,
    written: usize,
}

impl TrialFolder {
    /// Makes the folder with `metadata/config.yaml` and `params.json`, before the trial is started.
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
        match fs::create_dir(dir).and_then(|()| fs::create_dir(&metadata)) {
            Ok(()) => {}
            Err(_) => fs::create_dir_all(&metadata)?,
        }
        if identity.attempt.0 > 1 {
            clear(dir, identity.attempt.0 - 1, beginning.resume)?;
        }
        fs::write(metadata.join("config.yaml"), yaml::params(params))?;
        let mut json = serde_json::to_vec(params).map_err(io::Error::other)?;
        json.push(b'\n');
        fs::write(dir.join("params.json"), json)?;
        Ok(Self {
            dir: dir.to_path_buf(),
            program: program(beginning.command),
            about: about(beginning),
            swath: swath(beginning),
            pid: None,
            began: beginning.at,
            info: None,
            written: 0,
        })
    }

    /// Writes `metadata/info.yaml` with status RUNNING, once the process is known (for a closure:
    /// this one).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn placed(&mut self, pid: u32) -> io::Result<()> {
        self.pid = Some(pid);
        self.write("RUNNING", None, "")
    }

    /// Completes `metadata/info.yaml` and removes the output files, `records.jsonl` and folders in
    /// which there is nothing.
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
        let mut tail = ended(exit, at);
        line(&mut tail, "  seconds", |out| {
            yaml::float(out, at.since(self.began).as_secs_f64());
        });
        line(&mut tail, "  cpu_seconds", |out| {
            yaml::float(out, usage.cpu_seconds);
        });
        line(&mut tail, "  peak_mib", |out| {
            yaml::float(out, usage.peak_mib);
        });
        line(&mut tail, "  reports", |out| {
            out.push_str(&recorded.reports.to_string());
        });
        line(&mut tail, "  warnings", |out| {
            out.push_str(&recorded.warnings.to_string());
        });
        digests(&mut tail, "  data", &recorded.data);
        digests(&mut tail, "  models", &recorded.models);
        self.write(status(exit), Some(at), &tail)?;
        for name in OFTEN_EMPTY {
            let path = self.dir.join(name);
            if fs::symlink_metadata(&path).is_ok_and(|about| about.is_file() && about.len() == 0) {
                fs::remove_file(path)?;
            }
        }
        let _ = fs::remove_dir(self.dir.join("checkpoints"));
        Ok(())
    }

    /// Completes `info.yaml` of an attempt that has ended with what only the study knows: the
    /// trial's result, and how it really ended (when nobody was there to see it, or when an
    /// objective was never reported). Does nothing where there is no `info.yaml`.
    ///
    /// # Errors
    /// If `info.yaml` cannot be read or written.
    pub fn amend(
        dir: &Path,
        exit: &Exit,
        result: &[(String, Value)],
        at: Timestamp,
    ) -> io::Result<()> {
        let path = dir.join("metadata/info.yaml");
        let old = match fs::read_to_string(&path) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut new = String::with_capacity(old.len() + 64);
        let (date, time) = local(at);
        let mut told = false;
        // An earlier result stands last and is written anew.
        let old = old
            .split_once("\n  result:\n")
            .map_or(&*old, |(before, _)| before);
        for row in old.lines() {
            match row {
                _ if row.starts_with("status: ") => new.extend(["status: ", status(exit)]),
                "end_date: ''" => new.extend(["end_date: ", &date]),
                "end_time: ''" => new.extend(["end_time: '", &time, "'"]),
                _ if row.starts_with("  exit: ") => {
                    told = true;
                    line(&mut new, "  exit", |out| yaml::text(out, &exit.to_string()));
                    continue;
                }
                _ => new.push_str(row),
            }
            new.push('\n');
        }
        if !told {
            new.push_str(&ended(exit, at));
        }
        if !result.is_empty() {
            new.push_str("  result:\n");
            let entries = result
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.clone()));
            for row in yaml::params(&entries.collect()).lines() {
                new.extend(["    ", row, "\n"]);
            }
        }
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(dir.join("metadata"))?;
        io::Write::write_all(&mut file, new.as_bytes())?;
        file.persist(path)?;
        Ok(())
    }

    /// Writes the whole of `info.yaml` in place.
    fn write(&mut self, status: &str, ended: Option<Timestamp>, tail: &str) -> io::Result<()> {
        let (start_date, start_time) = local(self.began);
        let (end_date, end_time) = ended.map(local).unwrap_or_default();
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
        let text = format!(
            "status: {status}\n{program}process_id: {pid}\nstart_date: {start_date}\nstart_time: '{start_time}'\nend_date: {end_date}\nend_time: '{end_time}'\n{about}{swath}{tail}"
        );
        let file = match self.info.take() {
            Some(file) => file,
            None => OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .open(self.dir.join("metadata/info.yaml"))?,
        };
        file.write_all_at(text.as_bytes(), 0)?;
        if text.len() < self.written {
            file.set_len(text.len() as u64)?;
        }
        self.written = text.len();
        self.info = Some(file);
        Ok(())
    }
}

/// Puts away what earlier attempts left, unless this one goes on from it.
fn clear(dir: &Path, last: u32, resume: bool) -> io::Result<()> {
    remove_if_there(&dir.join("stop"))?;
    Answer::clear(dir)?;
    if resume {
        return end_last_line(&dir.join("records.jsonl"));
    }
    let away = dir.join("attempts").join(last.to_string());
    for name in LEFT_BY_ATTEMPT {
        let from = dir.join(name);
        if from.symlink_metadata().is_ok() {
            fs::create_dir_all(&away)?;
            fs::rename(from, away.join(name))?;
        }
    }
    Ok(())
}

/// Ends the line that a killed attempt may have left open, so that the next one's first line stands
/// alone.
fn end_last_line(path: &Path) -> io::Result<()> {
    let file = match OpenOptions::new().read(true).append(true).open(path) {
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

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns MLXP's word for how an attempt ended. It has none for a trial that waits to go on: that
/// one is as if it had not started.
fn status(exit: &Exit) -> &'static str {
    match exit {
        Exit::Done | Exit::Stopped => "COMPLETE",
        Exit::Paused | Exit::Interrupted => "STARTING",
        Exit::Failed(_) | Exit::Lost => "FAILED",
    }
}

fn program(command: &[String]) -> String {
    let mut out = String::new();
    let program = command.first().map_or("", String::as_str);
    line(&mut out, "current_file_path", |out| {
        yaml::text(out, program);
    });
    line(&mut out, "executable", |out| yaml::text(out, program));
    let host = rustix::system::uname();
    line(&mut out, "hostname", |out| {
        yaml::text(out, &host.nodename().to_string_lossy());
    });
    out
}

fn about(beginning: &Beginning<'_>) -> String {
    let mut out = String::new();
    line(&mut out, "work_dir", |out| {
        yaml::text(out, &work_dir(beginning.workdir, beginning.dir));
    });
    let folder = beginning
        .dir
        .file_name()
        .and_then(|name| name.to_str()?.parse::<u32>().ok());
    let id = folder.unwrap_or(beginning.identity.trial.0);
    let _ = write!(
        out,
        "logger:\n  log_id: {id}\n  log_dir: .\n  metrics_dir: metrics\n  metadata_dir: metadata\n  artifacts_dir: artifacts\nscheduler: null\nversion_manager: null\n"
    );
    out
}

/// Returns the workdir as it is seen from the trial's folder, `../../..`, if that lies in it; only
/// then does it move with the study.
fn work_dir(workdir: &Path, dir: &Path) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let workdir = absolute(workdir);
    match absolute(dir).strip_prefix(&workdir) {
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

fn swath(beginning: &Beginning<'_>) -> String {
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
        line(&mut out, key, |out| yaml::text(out, word));
    }
    let _ = write!(
        out,
        "  trial: {}\n  attempt: {}\n  seed: {seed}\n",
        identity.trial, identity.attempt
    );
    line(&mut out, "  command", |out| {
        out.push('[');
        for (at, word) in command.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { ", " });
            yaml::text(out, word);
        }
        out.push(']');
    });
    line(&mut out, "  started_at", |out| {
        yaml::text(out, &at.to_string());
    });
    out
}

fn ended(exit: &Exit, at: Timestamp) -> String {
    let mut out = String::new();
    line(&mut out, "  ended_at", |out| {
        yaml::text(out, &at.to_string());
    });
    line(&mut out, "  exit", |out| yaml::text(out, &exit.to_string()));
    out
}

fn digests(out: &mut String, key: &str, found: &[(String, Option<String>)]) {
    if found.is_empty() {
        return;
    }
    out.push_str(key);
    out.push_str(":\n");
    for (path, md5) in found {
        line(out, "  - path", |out| yaml::text(out, path));
        line(out, "    md5", |out| match md5 {
            Some(md5) => {
                out.push('\'');
                out.push_str(md5);
                out.push('\'');
            }
            None => out.push_str("null"),
        });
    }
}

fn line(out: &mut String, key: &str, value: impl FnOnce(&mut String)) {
    out.push_str(key);
    out.push_str(": ");
    value(out);
    out.push('\n');
}

/// Returns date and time as MLXP writes them, on this machine's clock.
fn local(at: Timestamp) -> (String, String) {
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
