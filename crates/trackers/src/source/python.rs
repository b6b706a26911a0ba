//! `[[source]] name = "python"`: what a script logs to TensorBoard, W&B or Lightning's loggers.
//!
//! A `sitecustomize` module, which Python imports at its start, patches these libraries when the
//! script imports them. Each logged value is appended to `logged/LIBRARY.jsonl` in the trial's
//! folder. This source follows these files as the source `files` follows others.

use super::files::format::{Content, Format, Item};
use super::files::json;
use super::files::pattern::Pattern;
use super::files::{Follower, Searched};
use super::rename::{RENAME, Rename};
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use swath_engine::executor::{RecordSource, SourceAttempt, SourceRun, Translator};
use swath_log::{LOGGED, regular};
use swath_model::study::{Datum, Kind, Metric};

pub(super) const KIND: Kind<dyn RecordSource> = Kind {
    name: NAME,
    about: "what a Python script logs to TensorBoard (`SummaryWriter`), W&B (`wandb.log`) or the \
            loggers of Lightning, by an import hook",
    paper: None,
    options: &[RENAME],
    capabilities: &[],
    build: |mut section, _, diagnostics| {
        let before = diagnostics.list.len();
        let rename = Rename::take(&mut section, diagnostics);
        (diagnostics.list.len() == before).then(|| Box::new(Python { rename }) as Box<_>)
    },
};

const NAME: &str = "python";

/// The module that Python imports at its start.
const HOOK: &str = include_str!("python/sitecustomize.py");

/// The folder of the module in that of the study.
const FOLDER: &str = "python-hook";

struct Python {
    rename: Rename,
}

impl RecordSource for Python {
    fn about(&self, _: &SourceRun<'_>) -> String {
        "what the script logs to TensorBoard, W&B or Lightning".to_owned()
    }

    fn is_of_folder(&self) -> bool {
        true
    }

    fn begin(&self, attempt: &SourceAttempt<'_>) -> io::Result<Box<dyn Translator>> {
        fs::create_dir_all(attempt.dir.join(LOGGED))?;
        let study = attempt.dir.parent().unwrap_or(attempt.dir);
        let hook = write_hook(study)?;
        let mut path = hook.into_os_string();
        // Another `sitecustomize` on the path is imported by the module itself.
        if let Some(own) = attempt.variable(PATH).filter(|own| !own.is_empty()) {
            path.push(":");
            path.push(own);
        }
        Ok(Box::new(Hooked {
            follower: self.follower(attempt)?,
            logged: attempt.dir.join(LOGGED),
            path,
        }))
    }

    fn catch_up(&self, attempt: &SourceAttempt<'_>) -> io::Result<()> {
        let mut follower = self.follower(attempt)?;
        follower.close();
        follower.finish(false)
    }
}

/// The variable with the folders of Python's modules.
const PATH: &str = "PYTHONPATH";

impl Python {
    fn follower(&self, attempt: &SourceAttempt<'_>) -> io::Result<Follower> {
        let folder = attempt.dir.join(LOGGED);
        let searched = Searched::new(Pattern::new("*.jsonl"), &folder, &[]);
        let format = Some(LOGGED.to_owned());
        Follower::begin(attempt, NAME, self.rename.clone(), vec![searched], format)
    }
}

/// Writes the module into the study's folder unless it is there; returns its folder.
fn write_hook(study: &Path) -> io::Result<PathBuf> {
    let folder = study.join(FOLDER);
    let path = folder.join("sitecustomize.py");
    if regular::read(&path).is_ok_and(|text| text == HOOK.as_bytes()) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder)?;
    // Another slot may write it at the same time.
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    io::Write::write_all(&mut file, HOOK.as_bytes())?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(folder)
}

/// Follows the files of the hook.
struct Hooked {
    follower: Follower,
    logged: PathBuf,
    path: OsString,
}

impl Translator for Hooked {
    fn environment(&self) -> Vec<(String, OsString)> {
        vec![(PATH.to_owned(), self.path.clone())]
    }

    fn poll(&mut self) -> io::Result<()> {
        self.follower.poll()
    }

    fn finish(&mut self, is_whole: bool) -> io::Result<()> {
        let finished = self.follower.finish(is_whole);
        // A script that logged nothing leaves no empty folder.
        let _ = fs::remove_dir(&self.logged);
        finished
    }

    fn clue(&self) -> Option<String> {
        match self.logged.exists() {
            true => self.follower.clue(),
            false => None,
        }
    }
}

/// A file of the hook as it grows: each line is a value, or a row of values.
#[derive(Default)]
pub(super) struct Logged {
    rest: Vec<u8>,
}

impl Format for Logged {
    fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Item)) {
        self.rest.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|byte| *byte == b'\n') {
            if let Some(item) = item(&self.rest[begin..begin + length]) {
                each(item);
            }
            begin += length + 1;
        }
        self.rest.drain(..begin);
    }

    fn take_problem(&mut self) -> Option<String> {
        None
    }
}

fn item(line: &[u8]) -> Option<Item> {
    let value = json::parse(line)?;
    let mut values = Vec::new();
    if let Some(row) = value.get("row") {
        json::flatten("", row, &mut values);
        let content = Content::Row(values);
        return Some(Item {
            content,
            at: micros(&value),
        });
    }
    json::flatten("", value.get("value")?, &mut values);
    let Some((_, Datum::Number(Metric(number)))) = values.pop() else {
        return None;
    };
    Some(Item {
        content: Content::Point {
            name: value.get("name")?.as_str()?.to_owned(),
            step: value.get("step")?.as_f64()?,
            number,
        },
        at: micros(&value),
    })
}

fn micros(value: &Value) -> Option<i64> {
    value
        .get("at")?
        .as_f64()
        .map(|seconds| (seconds * 1e6) as i64)
}

#[cfg(test)]
mod tests {
    use super::super::files::format::tests::shown;
    use super::*;

    #[test]
    fn the_lines_of_the_hook_are_values_and_rows() {
        let mut logged = Logged::default();
        let text = b"{\"name\": \"val/loss\", \"value\": NaN, \"step\": 3, \"at\": 1.5}\n{\"row\": {\"loss\": 0.5, \"epoch\": 1}, \"at\": 2}\n{\"torn";
        let mut items = Vec::new();
        logged.feed(text, &mut |item: Item| {
            items.push((shown(&item.content), item.at));
        });
        let expected = [
            ("val/loss@3=NaN".to_owned(), Some(1_500_000)),
            ("loss=0.5 epoch=1".to_owned(), Some(2_000_000)),
        ];
        assert_eq!(items, expected);
    }
}
