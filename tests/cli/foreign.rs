//! Files of a study that are not its own, that are damaged or that vanish while it runs, tested
//! through the binary.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

struct World(tempfile::TempDir);

impl World {
    /// Creates a sweep whose trials run `script`; `{x}` in it is the parameter.
    fn new(script: &str, trials: u32) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        let sweep = format!(
            "name = \"s\"\n[run]\ncommand = [\"sh\", \"-c\", '{script}']\n[objective]\nmetric = \"loss\"\n\
             goal = \"min\"\n[search]\nsampler = \"random\"\ntrials = {trials}\n[resources]\njobs = 1\n\
             [space]\nx = {{ min = 0.0, max = 1.0 }}\n"
        );
        fs::write(world.0.path().join("s.toml"), sweep).unwrap();
        world
    }

    fn study(&self) -> PathBuf {
        self.0.path().join("logs/s")
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        command.args(words.split(' ')).current_dir(self.0.path());
        command
    }

    /// Runs a command. Returns its exit code and everything that it prints.
    fn swath(&self, words: &str) -> (i32, String) {
        let Output {
            stdout,
            stderr,
            status,
        } = self.command(words).output().unwrap();
        let text = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
        (status.code().unwrap(), text)
    }

    /// Returns the parameter and the objective of each trial, as `ls` shows them.
    fn results(&self) -> Vec<(f64, f64)> {
        let output = self.command("ls s --json").output().unwrap();
        let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let trials = listed["trials"].as_array().unwrap().iter();
        trials
            .map(|trial| {
                let number = |value: &serde_json::Value| value.as_f64().unwrap();
                (
                    number(&trial["params"]["x"]),
                    number(&trial["objectives"]["loss"]),
                )
            })
            .collect()
    }

    fn set_seed(&self, seed: u32) {
        let path = self.0.path().join("s.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("seed = {seed}\n{text}")).unwrap();
    }
}

const REPORT: &str = r#"echo "{{\"loss\": {x}}}" >> "$SWATH_RECORDS""#;

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

#[test]
fn a_new_study_does_not_read_the_trial_folders_of_an_earlier_one() {
    let world = World::new(REPORT, 4);
    world.swath("run s.toml");
    for name in ["journal.jsonl", "snapshot.json", "trials.csv"] {
        fs::remove_file(world.study().join(name)).unwrap();
    }
    world.set_seed(5);
    let (code, text) = world.swath("run s.toml");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("files of an earlier study"), "{text}");
    assert_eq!(world.results().len(), 4);
    assert!(world.results().iter().all(|(x, loss)| x == loss));
    assert!(world.study().join("orphaned/1/records.jsonl").exists());
    assert_eq!(
        world.swath("doctor s").0,
        0,
        "{}",
        world.swath("doctor s").1
    );
}

#[test]
fn a_shorter_journal_is_shown_with_a_warning_and_continues_only_after_a_salvage() {
    let world = World::new(REPORT, 6);
    world.swath("run s.toml");
    let journal = world.study().join("journal.jsonl");
    let entries = lines(&journal);
    let cut = entries
        .iter()
        .position(|line| line.contains("\"created\":{\"trial\":3"))
        .unwrap();
    fs::write(&journal, entries[..cut].concat()).unwrap();
    let missing = format!("the last {} are missing", entries.len() - cut);
    for words in ["ls s", "show s", "best s", "export s --csv", "ls"] {
        let (code, text) = world.swath(words);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(&missing), "{words}: {text}");
    }
    assert_eq!(world.swath("doctor s").0, 6);
    world.set_seed(5);
    let (code, text) = world.swath("run s.toml");
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains(&format!("--salvage` keeps the {cut} entries")),
        "{text}"
    );
    let (code, text) = world.swath("doctor s --salvage");
    assert_eq!(code, 6, "folders of missing trials are still there: {text}");
    assert!(text.contains(&format!("{cut} entries were kept")), "{text}");
    let (code, text) = world.swath("run s.toml");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("not of this study"), "{text}");
    assert_eq!(world.results().len(), 6);
    assert!(world.results().iter().all(|(x, loss)| x == loss));
}

#[test]
fn a_trial_folder_of_another_study_is_not_read() {
    let world = World::new(
        r#"echo mine; echo "{{\"loss\": {x}}}" >> "$SWATH_RECORDS""#,
        2,
    );
    world.swath("run s.toml");
    let (_, own) = world.swath("logs s 1");
    assert!(own.contains("mine"), "{own}");
    for entry in fs::read_dir(world.study().join("1")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("study-")
        {
            fs::rename(&path, path.with_file_name("study-0123456789abcdef")).unwrap();
        }
    }
    let (_, foreign) = world.swath("logs s 1");
    assert!(!foreign.contains("mine"), "{foreign}");
    let (code, text) = world.swath("doctor s");
    assert_eq!(code, 6);
    assert!(
        text.contains("the folder `1` is not of this study"),
        "{text}"
    );
}

#[test]
fn one_changed_digit_of_the_snapshot_shows_nowhere_and_of_other_files_in_doctor() {
    let world = World::new(REPORT, 3);
    world.swath("run s.toml");
    let before = world.results();
    let path = world.study().join("snapshot.json");
    let text = fs::read_to_string(&path).unwrap();
    let digits = before[0].1.to_string();
    let changed = format!("{}9", &digits[..digits.len() - 1]);
    assert!(text.contains(&digits) && digits != changed);
    fs::write(&path, text.replace(&digits, &changed)).unwrap();
    assert_eq!(world.results(), before);
    let (code, text) = world.swath("doctor s");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("so it is ignored"), "{text}");
    fs::remove_file(path).unwrap();
    for (file, old, new, finding) in [
        ("trials.csv", "0.", "0.9", "it differs from the journal"),
        ("1/params.json", "0.", "0.9", "has other parameters"),
        (
            "1/metadata/config.yaml",
            "0.",
            "0.9",
            "differs from `params.json`",
        ),
        (
            "1/metadata/info.yaml",
            "  seed: ",
            "  seed: 1",
            "another `seed`",
        ),
        (
            "1/metadata/info.yaml",
            "  exit: ",
            "  exit: not ",
            "another `exit`",
        ),
        (
            "1/metadata/info.yaml",
            "  command: [",
            "  command: [x",
            "was changed after",
        ),
        (
            "1/metadata/info.yaml",
            "process_id: ",
            "process_id: 1",
            "was changed after",
        ),
        ("sweep.toml", "loss", "lost", "`sweep.toml` is not the text"),
    ] {
        let path = world.study().join(file);
        let text = fs::read_to_string(&path).unwrap();
        let changed = text.replacen(old, new, 1);
        assert_ne!(changed, text, "{file}");
        fs::write(&path, changed).unwrap();
        let (code, report) = world.swath("doctor s");
        assert_eq!(code, 6, "{file}: {report}");
        assert!(report.contains(finding), "{file}: {report}");
        fs::write(&path, text).unwrap();
        assert_eq!(world.swath("doctor s").0, 0);
    }
}

#[test]
fn a_trial_that_removes_its_own_folder_is_warned_about() {
    let world = World::new(
        r#"echo "{{\"loss\": {x}}}" >> "$SWATH_RECORDS"; sleep 0.3; rm -r "$SWATH_TRIAL_DIR""#,
        1,
    );
    let (_, text) = world.swath("run s.toml");
    assert!(
        text.contains("its folder was removed or replaced while it ran"),
        "{text}"
    );
}

/// Runs long trials, disturbs the study after the first has started, and returns the exit code, the
/// time until the run ended and its messages.
fn disturbed(disturbance: impl FnOnce(&Path)) -> (World, i32, Duration, String) {
    let world = World::new("sleep 30", 3);
    let mut run = world
        .command("run s.toml")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(run.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains("started") {
        output.read_line(&mut text).unwrap();
    }
    let began = Instant::now();
    disturbance(&world.study());
    output.read_line(&mut text).unwrap();
    let noticed = began.elapsed();
    std::io::Read::read_to_string(&mut output, &mut text).unwrap();
    let code = run.wait().unwrap().code().unwrap();
    (world, code, noticed, text)
}

#[test]
fn a_study_that_vanishes_while_it_runs_ends_the_run_and_is_kept_elsewhere() {
    let (world, code, noticed, text) = disturbed(|study| {
        let moved = study.with_file_name("moved");
        fs::rename(study, moved).unwrap();
    });
    assert_eq!(code, 1, "{text}");
    assert!(noticed < Duration::from_secs(5), "{noticed:?}");
    assert!(
        text.contains("was removed while this run was writing it"),
        "{text}"
    );
    assert!(text.contains("logs/s.rescued-1"), "{text}");
    let (code, text) = world.swath("ls s.rescued-1");
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_journal_that_is_cut_while_it_runs_ends_the_run() {
    let (world, code, _, text) = disturbed(|study| {
        fs::write(study.join("journal.jsonl"), "").unwrap();
    });
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("was cut"), "{text}");
    assert!(world.0.path().join("logs/s.rescued-1/study.json").exists());
}

#[test]
fn every_event_that_a_killed_run_has_printed_is_in_its_journal() {
    for wait in 0..6 {
        let world = World::new(REPORT, 500);
        let mut run = world
            .command("run s.toml --json")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(run.stdout.take().unwrap());
        let mut printed = String::new();
        for _ in 0..40 + wait * 7 {
            output.read_line(&mut printed).unwrap();
        }
        run.kill().unwrap();
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut output, &mut rest).unwrap();
        printed += &String::from_utf8_lossy(&rest);
        run.wait().unwrap();
        let journal = lines(&world.study().join("journal.jsonl"));
        let events = printed
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        for line in events {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let Some(seq) = event["seq"].as_u64() else {
                continue;
            };
            let entry: serde_json::Value =
                serde_json::from_str(&journal[usize::try_from(seq).unwrap()]).unwrap();
            assert_eq!(entry["event"], event["event"]);
        }
    }
}
