//! `[[source]] name = "files"`: follows the files that a program writes.

mod csv;
mod events;
pub(super) mod format;
mod growing;
mod history;
pub(super) mod json;
pub(super) mod pattern;

use self::format::{Content, FORMATS, Format, Item, NO_ITEMS, mark};
use self::growing::{GrowingFile, Piece, State};
use self::pattern::Pattern;
use super::rename::{RENAME, Rename};
use super::reporting::{Reporting, now};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use swath_engine::executor::{RecordSource, SourceAttempt, SourceRun, Translator};
use swath_log::{LOGGED, SourcePlace, WORK};
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::Kind;

pub(super) const KIND: Kind<dyn RecordSource> = Kind {
    name: NAME,
    about: "files that the program writes, followed as they grow: CSV, JSON lines, event files of \
            TensorBoard, offline runs of W&B, metrics of MLXP and DVCLive",
    paper: None,
    options: &[
        Opt::new(
            "path",
            Takes::Either(&[Takes::Text, Takes::List(&Takes::Text)]),
            Preset::Required,
            "the files, relative to the trial's working directory or its folder: `*` and `?` within a \
             name, `**` for any number of folders, `{trial}` and `{trial_dir}`",
        ),
        Opt::new(
            "format",
            Takes::OneOf(FORMATS),
            Preset::Derived("the name of the file"),
            "the format of the files",
        ),
        RENAME,
    ],
    capabilities: &[],
    build,
};

const NAME: &str = "files";

/// Names in the trial's folder that swath itself writes.
const OWN_NAMES: [&str; 12] = [
    WORK,
    LOGGED,
    "metrics",
    "metadata",
    "artifacts",
    "attempts",
    swath_log::HELD,
    "params.json",
    "records.jsonl",
    "stdout.log",
    "stderr.log",
    "stop",
];

/// Shortest time between two looks at the files.
const INTERVAL: Duration = Duration::from_millis(100);

/// Share of the time that the search for files may take: one part of this many.
const SEARCH_SHARE: u32 = 20;

/// Number of files that one attempt follows.
const MOST_FILES: usize = 256;

/// The source, as the sweep file describes it.
struct Files {
    paths: Vec<String>,
    format: Option<String>,
    rename: Rename,
}

fn build(
    mut section: Section,
    _: &swath_model::study::Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn RecordSource>> {
    let before = diagnostics.list.len();
    let span = section.span.clone();
    let paths = super::take_paths(&mut section, "path", diagnostics);
    if paths.is_empty() && diagnostics.list.len() == before {
        let error = Diagnostic::error("missing-path", "the source `files` needs a `path`");
        let error = error.at(span, "");
        diagnostics.push(error.hint("such as path = \"lightning_logs/**/metrics.csv\""));
    }
    let format = section.take_text("format", diagnostics);
    if let Some((format, span)) = &format
        && !FORMATS.contains(&format.as_str())
    {
        let error = Diagnostic::error("unknown-name", format!("there is no format `{format}`"));
        let error = error.at(span.clone(), "");
        let known: Vec<_> = FORMATS.iter().map(|name| format!("`{name}`")).collect();
        diagnostics.push(error.hint(format!("it is one of {}", known.join(", "))));
    }
    let rename = Rename::take(&mut section, diagnostics);
    (diagnostics.list.len() == before).then(|| {
        Box::new(Files {
            paths,
            format: format.map(|(format, _)| format),
            rename,
        }) as Box<dyn RecordSource>
    })
}

impl RecordSource for Files {
    fn about(&self, _: &SourceRun<'_>) -> String {
        let paths: Vec<_> = self.paths.iter().map(|path| format!("`{path}`")).collect();
        paths.join(", ")
    }

    fn begin(&self, attempt: &SourceAttempt<'_>) -> io::Result<Box<dyn Translator>> {
        let mut follower = self.follower(attempt)?;
        follower.note_existing(attempt.resumes);
        Ok(Box::new(follower))
    }

    fn catch_up(&self, attempt: &SourceAttempt<'_>) -> io::Result<()> {
        let mut follower = self.follower(attempt)?;
        follower.close();
        follower.finish(false)
    }
}

impl Files {
    fn follower(&self, attempt: &SourceAttempt<'_>) -> io::Result<Follower> {
        let patterns = self.paths.iter().map(|path| {
            let with_trial = path
                .replace("{trial_dir}", &attempt.dir.to_string_lossy())
                .replace("{trial}", &attempt.trial.to_string());
            let is_own = with_trial != *path;
            (Pattern::new(&with_trial), is_own)
        });
        let mut searched: Vec<Searched> = Vec::new();
        for (pattern, is_own) in patterns {
            let has_workdir = !attempt.is_shared || is_own;
            if pattern.is_absolute() {
                if has_workdir {
                    searched.push(Searched::new(pattern, Path::new("/"), &[]));
                }
                continue;
            }
            // The trial's folder contains a private working directory.
            searched.push(Searched::new(pattern.clone(), attempt.dir, &OWN_NAMES));
            if has_workdir && attempt.dir != attempt.workdir {
                searched.push(Searched::new(pattern, attempt.workdir, &[]));
            }
        }
        let format = self.format.clone();
        Follower::begin(attempt, NAME, self.rename.clone(), searched, format)
    }
}

/// A pattern, and the folder in which it is looked for.
pub(super) struct Searched {
    pattern: Pattern,
    folder: PathBuf,
    /// Names in the folder that are not looked at.
    omitted: &'static [&'static str],
}

impl Searched {
    pub(super) fn new(pattern: Pattern, folder: &Path, omitted: &'static [&'static str]) -> Self {
        Self {
            pattern,
            folder: folder.to_owned(),
            omitted,
        }
    }
}

/// Follows the files of one attempt.
pub(super) struct Follower {
    searched: Vec<Searched>,
    format: Option<String>,
    dir: PathBuf,
    workdir: PathBuf,
    is_shared: bool,
    reporting: Reporting,
    /// The marks of the items that earlier attempts have reported, by file; 0 for an unknown mark.
    earlier: BTreeMap<String, Vec<u64>>,
    /// Files that were there before the attempt, and are not its own.
    existing: BTreeMap<PathBuf, State>,
    files: Vec<Followed>,
    /// Files whose names tell no format.
    unreadable: Vec<PathBuf>,
    /// Whether no files but those of earlier lines are read.
    is_closed: bool,
    polled: Option<Instant>,
    /// When the search for files began last, and how long it took.
    last_search: Option<(Instant, Duration)>,
}

/// A file that is followed.
struct Followed {
    file: GrowingFile,
    format: Box<dyn Format>,
    /// The path as people know it.
    from: String,
    /// The number of bytes at its beginning that another trial or attempt has written.
    old: u64,
    /// Marks of the items that were reported, or are old; 0 for an unknown mark.
    marks: Vec<u64>,
    /// The number of items that were read since the file last began, and their mark.
    count: usize,
    mark: u64,
}

/// An item that is to be reported.
struct NewItem {
    item: Item,
    /// Index of its file.
    file: usize,
    place: (u64, u64),
    /// Its position among the items of several files.
    order: f64,
}

impl Follower {
    /// Makes a follower of the files that match, for the source of this name.
    pub(super) fn begin(
        attempt: &SourceAttempt<'_>,
        source: &'static str,
        rename: Rename,
        searched: Vec<Searched>,
        format: Option<String>,
    ) -> io::Result<Self> {
        let mut reporting = Reporting::begin(attempt, source, rename)?;
        let mut earlier: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        if attempt.resumes {
            reporting.lines().earlier(&mut |line| {
                for SourcePlace { from, item } in line.places() {
                    if let (true, Some((item, mark))) = (line.source == source, item) {
                        let marks = earlier.entry(from.to_owned()).or_default();
                        // A file that began anew has its marks from there on.
                        marks.resize(usize::try_from(item).unwrap_or_default().max(1) - 1, 0);
                        marks.push(mark);
                    }
                }
            })?;
        }
        Ok(Self {
            searched,
            format,
            dir: attempt.dir.to_owned(),
            workdir: attempt.workdir.to_owned(),
            is_shared: attempt.is_shared,
            reporting,
            earlier,
            existing: BTreeMap::new(),
            files: Vec::new(),
            unreadable: Vec::new(),
            is_closed: false,
            polled: None,
            last_search: None,
        })
    }

    /// Reads only files of earlier lines, and those in the trial's own folder: others may have
    /// written to a shared folder since.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.note_existing(true);
    }

    /// Returns the files that match.
    fn search(&self) -> Vec<PathBuf> {
        let searched = self.searched.iter();
        searched
            .flat_map(|searched| searched.pattern.files(&searched.folder, searched.omitted))
            .collect()
    }

    /// Notes the files that are there before the attempt begins. Of an attempt that resumes, those
    /// in the trial's own folder are its own.
    pub(super) fn note_existing(&mut self, resumes: bool) {
        for path in self.search() {
            let is_own = resumes
                && (path.starts_with(&self.dir) || self.earlier.contains_key(&self.name(&path)));
            if !is_own && let Some(state) = State::of(&path) {
                self.existing.insert(path, state);
            }
        }
    }

    /// Returns the path of a file for people: relative to the trial's folder, or to the working
    /// directory.
    fn name(&self, path: &Path) -> String {
        let relative = path
            .strip_prefix(&self.dir)
            .or_else(|_| path.strip_prefix(&self.workdir))
            .unwrap_or(path);
        relative.to_string_lossy().into_owned()
    }

    /// Looks for new files, unless the last search was too long for how long ago it was.
    fn find_files(&mut self, is_last: bool) {
        let is_due = self
            .last_search
            .is_none_or(|(begun, took)| begun.elapsed() >= took * SEARCH_SHARE);
        if !is_due && !is_last {
            return;
        }
        let begun = Instant::now();
        for path in self.search() {
            self.find(path);
        }
        self.last_search = Some((begun, begun.elapsed()));
    }

    fn find(&mut self, path: PathBuf) {
        let is_known = self.files.iter().any(|known| known.file.path() == path);
        if is_known || self.files.len() >= MOST_FILES || self.unreadable.contains(&path) {
            return;
        }
        let from = self.name(&path);
        if self.is_closed && !self.earlier.contains_key(&from) && !path.starts_with(&self.dir) {
            return;
        }
        let mut old = 0;
        if let Some(state) = self.existing.get(&path) {
            match state.old_part(&path) {
                Some(part) => old = part,
                None => return,
            }
        }
        // A file that was renamed goes on under its new name.
        let id = State::of(&path).map(|state| state.id());
        let renamed = self
            .files
            .iter_mut()
            .find(|known| known.file.id() == id && id.is_some() && !known.file.path().exists());
        if let Some(renamed) = renamed {
            renamed.file.rename(path);
            return;
        }
        let Some(format) = format::parser(self.format.as_deref(), &path) else {
            self.unreadable.push(path);
            return;
        };
        let marks = self.earlier.get(&from).cloned().unwrap_or_default();
        self.files.push(Followed {
            file: GrowingFile::new(path),
            format,
            from,
            old,
            marks,
            count: 0,
            mark: NO_ITEMS,
        });
    }

    /// Reads all files on, and reports what is new.
    fn read(&mut self, is_last: bool, is_whole: bool) -> io::Result<()> {
        let mut result = Ok(());
        loop {
            let mut is_behind = false;
            let mut items = Vec::new();
            for (index, followed) in self.files.iter_mut().enumerate() {
                let read = followed.read(
                    index,
                    self.format.as_deref(),
                    is_last && is_whole,
                    &mut items,
                );
                match read {
                    Ok(has_more) => is_behind |= has_more,
                    Err(error) => result = result.and(Err(error)),
                }
            }
            self.report(items)?;
            if !is_behind || !is_last {
                break;
            }
        }
        result
    }

    fn report(&mut self, mut items: Vec<NewItem>) -> io::Result<()> {
        // The items of one file stay in their order; those of several files are merged.
        items.sort_by(|a, b| a.order.total_cmp(&b.order));
        for NewItem {
            item, file, place, ..
        } in items
        {
            let from = self.files.get(file).map_or("", |followed| &followed.from);
            let place = SourcePlace {
                from,
                item: Some(place),
            };
            let at = item.at.unwrap_or_else(now);
            match item.content {
                Content::Row(values) => self.reporting.row(place, values, at)?,
                Content::Point { name, step, number } => {
                    self.reporting.value(place, &name, step, number, at)?;
                }
            }
        }
        self.reporting.flush()
    }
}

impl Translator for Follower {
    fn poll(&mut self) -> io::Result<()> {
        if self
            .polled
            .is_some_and(|polled| polled.elapsed() < INTERVAL)
        {
            return Ok(());
        }
        self.find_files(false);
        let read = self.read(false, false);
        self.polled = Some(Instant::now());
        read
    }

    fn finish(&mut self, is_whole: bool) -> io::Result<()> {
        self.find_files(true);
        let read = self.read(true, is_whole);
        self.reporting.finish_step()?;
        self.reporting.flush()?;
        read
    }

    fn clue(&self) -> Option<String> {
        if self.files.is_empty() {
            let advice = match self.is_shared {
                true => {
                    " in the trial's folder: trials that run at the same time in one working \
                     directory need `workdir = \"private\"` in [run]"
                }
                false => "",
            };
            return Some(format!("no file matches the `path` of its source{advice}"));
        }
        let names = self.reporting.names();
        let files: Vec<_> = self
            .files
            .iter()
            .map(|file| format!("`{}`", file.from))
            .collect();
        Some(match names.is_empty() {
            true => format!("{} has no values", files.join(", ")),
            false => format!(
                "{} has {}: name it, or give one of them its name with `rename`",
                files.join(", "),
                names.join(", ")
            ),
        })
    }
}

impl Followed {
    /// Reads the file on, and adds what is new to `items`. Returns whether there is more.
    fn read(
        &mut self,
        index: usize,
        format: Option<&str>,
        is_last: bool,
        items: &mut Vec<NewItem>,
    ) -> io::Result<bool> {
        let Self {
            file,
            format: parser,
            old,
            marks,
            count,
            mark,
            ..
        } = self;
        let mut taken = Taken {
            marks,
            count,
            mark,
            file: index,
            items,
        };
        let path = file.path().to_owned();
        let read = file.poll(&mut |piece| match piece {
            Piece::Restart => {
                *old = 0;
                (*taken.count, *taken.mark) = (0, NO_ITEMS);
                if let Some(anew) = format::parser(format, &path) {
                    *parser = anew;
                }
            }
            Piece::Bytes(bytes) => {
                let part = usize::try_from(*old).map_or(bytes.len(), |old| old.min(bytes.len()));
                let (old_bytes, new_bytes) = bytes.split_at(part);
                *old -= part as u64;
                parser.feed(old_bytes, &mut |item| taken.skip(&item));
                parser.feed(new_bytes, &mut |item| taken.take(item));
            }
        });
        let is_behind = read.as_ref().is_ok_and(|is_behind| *is_behind);
        if !is_behind {
            parser.settle(is_last, &mut |item| taken.take(item));
        }
        match parser.take_problem() {
            Some(problem) => Err(io::Error::other(format!("`{}`: {problem}", self.from))),
            None => read,
        }
    }
}

/// Sorts the items of a file into those that were reported before, and new ones.
struct Taken<'a> {
    marks: &'a mut Vec<u64>,
    count: &'a mut usize,
    mark: &'a mut u64,
    file: usize,
    items: &'a mut Vec<NewItem>,
}

impl Taken<'_> {
    /// Counts an item. Returns whether it was reported before.
    fn count(&mut self, item: &Item) -> bool {
        *self.mark = mark(*self.mark, &item.content);
        let known = self.marks.get(*self.count).copied();
        *self.count += 1;
        if known.is_some_and(|known| known == 0 || known == *self.mark) {
            return true;
        }
        // The file differs from here on: it is another one.
        self.marks.truncate(*self.count - 1);
        self.marks.push(*self.mark);
        false
    }

    /// Counts an item that another trial has written.
    fn skip(&mut self, item: &Item) {
        self.count(item);
    }

    fn take(&mut self, item: Item) {
        if self.count(&item) {
            return;
        }
        let order = match &item.content {
            Content::Row(_) => f64::NEG_INFINITY,
            Content::Point { step, .. } => item.at.map_or(*step, |at| at as f64),
        };
        let last = self.items.last().filter(|last| last.file == self.file);
        let order = last.map_or(order, |last| last.order.max(order));
        self.items.push(NewItem {
            item,
            file: self.file,
            place: (*self.count as u64, *self.mark),
            order,
        });
    }
}
