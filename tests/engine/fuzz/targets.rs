//! Fuzz targets: one function for each kind of input that comes from a person, a program or a file.
//! None may panic on any bytes.
//!
//! The tests beside this file call them with mutations of `corpus/`; the targets of cargo-fuzz in
//! `fuzz/` call them too.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use swath::import::{FileSelection, import};
use swath::journal::{self, Journal, StudyDir, salvage};
use swath::logger::wire::Parser;
use swath::logger::{Directive, Dirs, Identity, Tail, TrialLogger};
use swath::report::formula::{Ask, Cells, Formula, Names};
use swath::run::{self, Options};
use swath::source::{Diagnostics, Source};
use swath::space::Value;
use swath::space::expr::{Expr, Type};
use swath::study::{Attempt, Header, LogRecord, TrialId};
use swath::sweep::{Rejected, Sweep};
use tempfile::TempDir;

/// Target: a sweep file. It is accepted, or refused with errors that can be displayed. An accepted
/// one yields configurations.
pub(crate) fn sweep_file(bytes: &[u8]) {
    for parse in [Sweep::parse, Sweep::parse_for_function] {
        let mut diagnostics = Diagnostics::default();
        let source = Source::from_bytes("fuzz.toml", bytes.to_vec(), &mut diagnostics);
        match parse(source) {
            Ok(sweep) => {
                let params = sweep.space.decode(&vec![0.5; sweep.space.dims()]);
                assert_eq!(sweep.space.encode(&params).len(), sweep.space.dims());
            }
            Err(rejected) => assert_can_be_shown(&rejected),
        }
    }
}

fn assert_can_be_shown(rejected: &Rejected) {
    assert!(rejected.diagnostics.has_errors());
    assert!(!rejected.render(true).is_empty());
    assert!(rejected.json().is_object() || rejected.json().is_array());
}

/// Target: the head of an HTTP request. It gets the page, or a status that refuses it.
#[cfg(feature = "cli")]
pub(crate) fn http_request(bytes: &[u8]) {
    let status = swath::cli::status_of_request(bytes);
    assert!([200, 400, 403, 404, 405].contains(&status), "{status}");
}

/// Returns the value of a name in expressions and formulas.
fn value_of(name: &str) -> Option<Value> {
    match name {
        "x" => Some(Value::Float(0.5)),
        "n" => Some(Value::Int(3)),
        "text" => Some(Value::Text("adam".into())),
        "flag" => Some(Value::Bool(true)),
        "list" => Some(Value::List(vec![
            Value::Int(1),
            Value::Float(f64::INFINITY),
        ])),
        _ => None,
    }
}

/// Returns the type of a name in expressions.
fn type_of(name: &str) -> Option<Type> {
    match name {
        "x" | "n" => Some(Type::Number),
        "text" => Some(Type::Text),
        "flag" => Some(Type::Bool),
        "list" => Some(Type::List),
        _ => None,
    }
}

/// The cells of a trial whose reported values are all 0.25.
struct Trial;

impl Cells for Trial {
    fn value(&self, name: &str) -> Option<Value> {
        value_of(name)
    }

    fn ask(&self, _: Ask, _: &str) -> Option<f64> {
        Some(0.25)
    }
}

/// Target: an expression of a sweep file, and a formula of `--where`. Each is refused or evaluated.
pub(crate) fn expression(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(expr) = Expr::parse(&text) {
        assert_eq!(expr.text(), text);
        let _ = (
            expr.names().count(),
            expr.check(&type_of),
            expr.eval(&value_of),
        );
    }
    let names = Names::from_iter(["x", "val/AR@100", "n-estimators", "a b"]);
    if let Ok(formula) = Formula::parse(&text, &names) {
        let checked = formula.check(&names, &|name| type_of(name).unwrap_or(Type::Any));
        let _ = (formula.names().count(), checked, formula.value(&Trial));
    }
}

/// Target: lines of `$SWATH_RECORDS`. Each is parsed or refused, and the row of an accepted one is
/// JSON, except for numbers that JSON does not have.
pub(crate) fn record_lines(bytes: &[u8]) {
    let mut parser = Parser::default();
    for line in String::from_utf8_lossy(bytes).lines() {
        let was_read = parser.parse(line).is_ok();
        let row = String::from_utf8_lossy(parser.row())
            .replace("NaN", "null")
            .replace("Infinity", "1");
        let json = format!("{{{row}}}");
        assert!(
            !was_read || serde_json::from_str::<serde_json::Value>(&json).is_ok(),
            "{json}"
        );
    }
}

/// Returns the paths below a folder, sorted, without what is below `except`.
fn paths_below(folder: &Path, except: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path != except && path.is_dir() {
            paths.extend(paths_below(&path, except));
        }
        paths.push(path);
    }
    paths.sort();
    paths
}

/// Target: the whole `records.jsonl` of a trial, read by its supervisor in two attempts. Whatever
/// it says, nothing is written outside of the trial's folder, and metric files have JSON lines.
pub(crate) fn records_file(bytes: &[u8]) {
    let folder = folder();
    let trial = folder.path().join("study/1");
    fs::create_dir_all(&trial).expect("a new folder");
    // What hostile records may name: a model, data, and a file outside of the workdir.
    let workdir = folder.path().join("work");
    fs::create_dir_all(workdir.join("models")).expect("a new folder");
    fs::write(workdir.join("models/m3.bin"), b"model").expect("a file");
    fs::write(workdir.join("a.txt"), b"text").expect("a file");
    fs::write(folder.path().join("secret"), b"secret").expect("a file");
    let before = paths_below(folder.path(), &trial);
    let records = trial.join("records.jsonl");
    for attempt in 1..=2 {
        let half = bytes.len() / 2;
        let piece = if attempt == 1 { &bytes[..half] } else { bytes };
        fs::write(&records, piece).expect("the records can be written");
        let identity = Identity {
            study: "fuzz".into(),
            pipeline: "fuzz".into(),
            stage: "tune".into(),
            trial: TrialId(1),
            attempt: Attempt(attempt),
        };
        let dirs = Dirs {
            workdir: workdir.clone(),
            trial: trial.clone(),
        };
        let sink = Box::new(|_: LogRecord| Directive::Continue);
        let log = TrialLogger::in_process(identity, dirs, sink).expect("a logger");
        let mut log = log.with_deciding_metrics(&["loss".into()]);
        let mut tail = Tail::new(&records);
        log.follow(&mut tail).expect("the records can be read");
        log.follow_to_the_end(&mut tail)
            .expect("the records can be read");
        log.finish().expect("the records can be completed");
    }
    assert_eq!(
        paths_below(folder.path(), &trial),
        before,
        "written outside of the trial's folder"
    );
    for path in paths_below(&trial.join("metrics"), Path::new("")) {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("UTF-8");
        for row in text.lines() {
            let row = row.replace("NaN", "null").replace("Infinity", "1");
            serde_json::from_str::<serde_json::Value>(&row).expect("a row is JSON");
        }
    }
}

/// Creates a temporary folder, in memory if possible.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary folder")
}

/// Creates a study folder with this journal.
fn study_with(journal: &[u8], folder: &Path) -> StudyDir {
    let dir = StudyDir::at(folder.join("study"));
    fs::create_dir(dir.root()).expect("a new folder");
    fs::write(dir.journal(), journal).expect("the journal can be written");
    dir
}

/// Target: a journal. It is read or refused, and after a salvage it can be read.
pub(crate) fn journal(bytes: &[u8]) {
    let folder = folder();
    let dir = study_with(bytes, folder.path());
    if let Ok(replay) = Journal::open(&dir) {
        let good = replay.take_while(Result::is_ok).count();
        assert!(good <= bytes.len());
    }
    if journal::read(&dir).is_err() && salvage(&dir, Header::default()).is_ok() {
        journal::read(&dir).expect("a salvaged journal can be read");
    }
}

/// Returns the sweep into which files are imported.
fn importing_sweep() -> Sweep {
    let text = "[objective]\nmetric = 'loss'\ngoal = 'min'\n[search]\ntrials = 3\n\
                [space]\nx = { min = 0.0, max = 1.0 }\nk = ['a', 'b']\n";
    let source = Source {
        name: "fuzz.toml".into(),
        text: text.into(),
    };
    Sweep::parse_for_function(source).expect("a sweep file")
}

/// Returns the journal of a study that was only opened.
fn empty_journal(sweep: &Sweep) -> &'static [u8] {
    static JOURNAL: OnceLock<Vec<u8>> = OnceLock::new();
    JOURNAL.get_or_init(|| {
        let folder = folder();
        let options = Options {
            logs: folder.path().join("logs"),
            ..Options::default()
        };
        let opened = run::open(sweep, options).expect("a study");
        let path = opened.dir().journal();
        drop(opened);
        fs::read(path).expect("its journal")
    })
}

/// Target: a file to import. It is imported, or the study stays unchanged; the study can be read in
/// either case.
pub(crate) fn import_file(bytes: &[u8]) {
    let sweep = importing_sweep();
    let before = empty_journal(&sweep);
    let folder = folder();
    let dir = study_with(before, folder.path());
    let file = folder.path().join("file");
    fs::write(&file, bytes).expect("the file can be written");
    match import(&dir, &sweep, &file, &FileSelection::default()) {
        Ok(imported) => {
            let study = journal::read(&dir).expect("the study can be read");
            assert_eq!(study.trials().len(), imported.trials.len());
        }
        Err(_) => assert_eq!(fs::read(dir.journal()).expect("the journal"), before),
    }
}
