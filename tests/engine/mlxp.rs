//! Checks that the records of the logger are those that MLXP's own Reader reads.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use swath::logger::{Beginning, Directive, Dirs, Identity, Point, TrialFolder, TrialLogger};
use swath::space::{Name, Params, Value};
use swath::study::{Attempt, Exit, Failure, LogRecord, Timestamp, TrialId, Usage};

fn trial(study: &Path, id: u32, params: &Params, exit: &Exit) -> Result<(), Box<dyn Error>> {
    let dir = study.join(id.to_string());
    let workdir = study.parent().ok_or("a study lies in a folder")?;
    let identity = Identity {
        study: "s".into(),
        pipeline: "été".into(),
        stage: "tune".into(),
        trial: TrialId(id),
        attempt: Attempt(1),
    };
    let now = Timestamp::now();
    let mut folder = TrialFolder::begin(&Beginning {
        dir: &dir,
        identity: &identity,
        params,
        seed: 1,
        workdir,
        command: &["python".into(), "train: me.py".into(), String::new()],
        resume: false,
        at: now,
    })?;
    folder.mark_running(std::process::id())?;
    let dirs = Dirs {
        workdir: workdir.to_path_buf(),
        trial: dir.clone(),
    };
    let mut log =
        TrialLogger::in_process(identity, dirs, Box::new(|_: LogRecord| Directive::Continue))?;
    for epoch in 1..=3_u32 {
        let loss = if epoch == 2 {
            f64::NAN
        } else {
            1.0 / f64::from(epoch)
        };
        log.report(&[("epoch", f64::from(epoch)), ("val_loss", loss)])?;
        log.metric(
            "loss",
            f64::INFINITY,
            Point::step(1).batch(2).context("train"),
        )?;
        log.metric("yes", 1e-300, Point::default().log("été"))?;
    }
    log.record(r#"{"epoch": 4, "note: é": "x: \"y\" 'z' \n \u0085", "ok": true}"#)?;
    fs::write(workdir.join("a.pkl"), "a")?;
    log.artifact("a.pkl")?;
    folder.end(exit, &Usage::default(), &log.finish()?, now)?;
    Ok(())
}

fn params(entries: &[(&str, Value)]) -> Params {
    entries
        .iter()
        .map(|(name, value)| (Name::from(*name), value.clone()))
        .collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn study(root: &Path) -> Result<(), Box<dyn Error>> {
    let study = root.join("s");
    fs::create_dir(&study)?;
    let first = params(&[
        ("lr", Value::Float(1e-5)),
        ("big", Value::Float(1e22)),
        ("one", Value::Float(1.0)),
        ("n", Value::Int(3)),
        ("flag", Value::Bool(true)),
        ("word", text("off")),
        ("number", text("1e-5")),
        ("odd", text("a: 'b' #\n\u{85}\u{1f600}")),
        (
            "list",
            Value::List(vec![Value::Int(1), text("a, b"), Value::Float(1e-7)]),
        ),
        ("model.layers", Value::Int(2)),
        ("model.act", text("")),
        ("opt", text("sgd")),
        ("opt.momentum", Value::Float(0.9)),
    ]);
    trial(&study, 1, &first, &Exit::Done)?;
    trial(
        &study,
        2,
        &Params::default(),
        &Exit::Failed(Failure::Code(1)),
    )?;
    trial(&study, 10, &params(&[("été", text("ü"))]), &Exit::Paused)?;
    Ok(())
}

#[test]
#[ignore = "needs a Python with mlxp 1.0.5, named by SWATH_MLXP_PYTHON"]
fn the_reader_of_mlxp_reads_every_parameter_metric_and_status() -> Result<(), Box<dyn Error>> {
    let root = tempfile::tempdir()?;
    study(root.path())?;
    let python = std::env::var("SWATH_MLXP_PYTHON")?;
    let output = Command::new(python)
        .arg("tests/interop/mlxp_reader.py")
        .arg(root.path().join("s"))
        .output()?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}{err}");
    assert!(
        out.contains("MLXP reads 3 trials, 1 of them complete, and 102 metric points"),
        "{out}"
    );
    Ok(())
}
