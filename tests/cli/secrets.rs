//! Secrets do not enter a study, private studies stay private, and output that cannot be written
//! is an error.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Files that a trial writes itself. They contain what it wrote.
const OWN_FILES: &[&str] = &["records.jsonl", "stdout.log", "stderr.log"];

/// The planted secrets. They are put together here, so that this file holds none.
struct Planted {
    db_password: String,
    wandb: String,
    licence: String,
    hugging_face: String,
    token: String,
    github: String,
    tracker_key: String,
    database_login: String,
    aws: String,
    private_key: String,
    remote_password: String,
    slack: String,
    openai: String,
}

impl Planted {
    fn new() -> Self {
        let random = |length| -> String { "k3Fz9QwLm2Rt".chars().cycle().take(length).collect() };
        Self {
            db_password: "correct horse battery".to_owned(),
            wandb: "0123456789abcdef".chars().cycle().take(40).collect(),
            licence: "open sesame".to_owned(),
            hugging_face: format!("hf_{}", random(34)),
            token: "hunter2".to_owned(),
            github: format!("ghp_{}", random(36)),
            tracker_key: "tr4cker".to_owned(),
            database_login: "me:pl4ce".to_owned(),
            aws: format!("AKIA{}", random(16).to_uppercase()),
            private_key: format!("MIIE{}", random(60)),
            remote_password: "r3mote".to_owned(),
            slack: format!("xoxb-{}", random(40)),
            openai: format!("sk-proj-{}", random(48)),
        }
    }

    fn all(&self) -> [&str; 13] {
        [
            &self.db_password,
            &self.wandb,
            &self.licence,
            &self.hugging_face,
            &self.token,
            &self.github,
            &self.tracker_key,
            &self.database_login,
            &self.aws,
            &self.private_key,
            &self.remote_password,
            &self.slack,
            &self.openai,
        ]
    }
}

/// A folder with a repository, a sweep file and its program.
struct Project {
    dir: tempfile::TempDir,
    planted: Planted,
}

impl Project {
    fn new() -> Self {
        let project = Self {
            dir: tempfile::tempdir().unwrap(),
            planted: Planted::new(),
        };
        let Planted {
            db_password,
            wandb,
            licence,
            token,
            github,
            tracker_key,
            database_login,
            aws,
            private_key,
            remote_password,
            slack,
            ..
        } = &project.planted;
        project.write(
            "train.sh",
            "test \"$1\" = --token && test ${#2} = 7 || exit 3\n\
             test \"$4\" = \"key-$OPENAI_API_KEY\" && test ${#WANDB_API_KEY} = 40 || exit 4\n\
             swath report epoch=1 loss=\"$5\" text=\"$DB_PASSWORD\" || exit 5\n\
             printf '{\"kind\": \"note\", \"text\": \"%s\"}\\n' \"$HF_TOKEN\" >> \"$SWATH_RECORDS\"\n\
             test \"$SWATH_TRIAL\" = 2 || exit 0\n\
             echo \"ValueError: no login with $LICENCE\" >&2\nexit 1\n",
        );
        project.write(
            "s.toml",
            &format!(
                "name = \"s\" # the channel is {slack}\n[run]\n\
                 command = [\"sh\", \"train.sh\", \"--token\", \"{token}\", \"postgres://{database_login}@host/{github}\", \
                 \"key-{{env:OPENAI_API_KEY}}\", \"{{max_tokens}}\"]\n\
                 env = {{ DB_PASSWORD = \"{db_password}\", WANDB_API_KEY = \"{wandb}\", LICENCE = \"{licence}\" }}\n\
                 secret_env = [\"LICENCE\"]\n[objective]\nmetric = \"loss\"\ngoal = \"min\"\n\
                 [search]\nsampler = \"grid\"\n[space]\nmax_tokens = [1024, 4096, 8192]\n\
                 [[tracker]]\nname = \"program\"\ncommand = [\"sh\", \"-c\", \"cat >/dev/null\", \"--api-key={tracker_key}\"]\n\
                 [[tracker]]\nname = \"mlflow\"\n[[tracker]]\nname = \"prov\"\n"
            ),
        );
        project.write(".gitignore", "logs/\n");
        for words in [
            &["init", "-q"][..],
            &["add", "train.sh", ".gitignore"],
            &[
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b",
                "commit",
                "-qm",
                "first",
            ],
            &[
                "remote",
                "add",
                "origin",
                &format!("https://me:{remote_password}@host/r.git"),
            ],
        ] {
            let git = Command::new("git")
                .current_dir(project.dir.path())
                .args(words)
                .status();
            assert!(git.unwrap().success());
        }
        project.write(
            "conf.py",
            &format!(
                "KEY_ID = '{aws}'\nkey = '''-----BEGIN PRIVATE KEY-----\n{private_key}\n\
                 -----END PRIVATE KEY-----'''\n"
            ),
        );
        project
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        command
            .args(words)
            .current_dir(self.dir.path())
            .env_remove("SWATH_LOGS")
            .env("HF_TOKEN", &self.planted.hugging_face)
            .env("OPENAI_API_KEY", &self.planted.openai);
        command
    }

    fn swath(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Asserts that a text contains no planted secret.
    fn assert_clean(&self, name: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        for secret in self.planted.all() {
            assert!(!text.contains(secret), "{name} contains {secret}:\n{text}");
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_planted_secret_is_in_the_study_its_exports_or_its_page() {
    let project = Project::new();
    let ran = project.swath(&["run", "s.toml", "-q"]);
    let err = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(0), "{err}");
    project.assert_clean("the output of run", &ran.stdout);
    for words in [
        &["export", "--html", "logs/page.html", "s"][..],
        &["export", "s", "--csv"],
        &["export", "s", "--json"],
        &["export", "s", "--csv", "--long"],
        &["export", "prov", "s"],
        &["show", "s", "1"],
        &["show", "s", "1", "--json"],
        &["verify", "s"],
        &["replay", "s"],
        &["plan", "s.toml"],
    ] {
        let output = project.swath(words);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {err}");
        project.assert_clean(&format!("{words:?}"), &output.stdout);
    }
    let logs = project.dir.path().join("logs");
    let mut names = Vec::new();
    for path in files(&logs) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !OWN_FILES.contains(&name.as_str()) {
            project.assert_clean(&path.display().to_string(), &fs::read(&path).unwrap());
        }
        names.push(name);
    }
    for name in [
        "sweep.toml",
        "code.patch",
        "info.yaml",
        "journal.jsonl",
        "page.html",
    ] {
        assert!(names.iter().any(|other| other == name), "{name}: {names:?}");
    }
    let study = logs.join("s");
    let info = fs::read_to_string(study.join("1/metadata/info.yaml")).unwrap();
    assert!(
        info.contains("{env:TOKEN}") && info.contains("1024"),
        "{info}"
    );
    let journal = fs::read_to_string(study.join("journal.jsonl")).unwrap();
    assert!(
        journal.contains("{env:LICENCE}") && journal.contains("{env:HF_TOKEN}"),
        "{journal}"
    );
    let patch = fs::read_to_string(study.join("code.patch")).unwrap();
    assert!(patch.contains("{env:AWS_ACCESS_KEY_ID}"), "{patch}");
}

#[test]
fn a_stored_sweep_file_continues_the_study_with_the_variables_of_the_caller() {
    let project = Project::new();
    assert_eq!(
        project.swath(&["run", "s.toml", "-q"]).status.code(),
        Some(0)
    );
    fs::copy(
        project.dir.path().join("logs/s/sweep.toml"),
        project.dir.path().join("stored.toml"),
    )
    .unwrap();
    let without = project.swath(&["run", "stored.toml", "-q"]);
    let err = String::from_utf8_lossy(&without.stderr);
    assert!(err.contains("is not set"), "{err}");
    assert_ne!(without.status.code(), Some(0));
    let retried = project.swath(&["retry", "s", "2"]);
    assert_eq!(retried.status.code(), Some(0), "{retried:?}");
    let again = project
        .command(&["run", "stored.toml", "-q"])
        .env("TOKEN", &project.planted.token)
        .env("GITHUB_TOKEN", &project.planted.github)
        .env("DB_PASSWORD", &project.planted.db_password)
        .env("WANDB_API_KEY", &project.planted.wandb)
        .env("LICENCE", &project.planted.licence)
        .env("API_KEY", &project.planted.tracker_key)
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(0), "{err}");
    let info = fs::read_to_string(project.dir.path().join("logs/s/2/metadata/info.yaml")).unwrap();
    assert!(
        info.contains("attempt: 2") && info.contains("no login with"),
        "{info}"
    );
    let versions = project.dir.path().join("logs/s/sweep.1.toml");
    assert!(
        !versions.exists(),
        "the stored sweep file is the same version"
    );
}

#[test]
fn a_private_study_is_readable_by_its_owner_only() {
    let project = Project::new();
    let sweep = fs::read_to_string(project.dir.path().join("s.toml")).unwrap();
    project.write(
        "s.toml",
        &sweep.replace("[run]\n", "[run]\nprivate = true\n"),
    );
    let ran = Command::new("sh")
        .args([
            "-c",
            "umask 022; exec \"$0\" run s.toml -q",
            env!("CARGO_BIN_EXE_swath"),
        ])
        .current_dir(project.dir.path())
        .env("HF_TOKEN", &project.planted.hugging_face)
        .env("OPENAI_API_KEY", &project.planted.openai)
        .status()
        .unwrap();
    assert!(ran.success());
    let mode = |name: &str| {
        let metadata = fs::metadata(project.dir.path().join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode("logs/s"), mode("logs")), (0o700, 0o755));
}

#[test]
fn every_file_of_a_study_respects_the_umask() {
    let project = Project::new();
    project.write(
        "train.sh",
        "echo x > a.txt\nswath report epoch=1 loss=1 artifact=a.txt\n",
    );
    let ran = Command::new("sh")
        .args([
            "-c",
            "umask 077; exec \"$0\" run s.toml -q",
            env!("CARGO_BIN_EXE_swath"),
        ])
        .current_dir(project.dir.path())
        .env("HF_TOKEN", "x")
        .env("OPENAI_API_KEY", "x")
        .status()
        .unwrap();
    assert!(ran.success());
    for path in files(&project.dir.path().join("logs")) {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure_of_every_command() {
    let project = Project::new();
    assert_eq!(
        project.swath(&["run", "s.toml", "-q"]).status.code(),
        Some(0)
    );
    let sweep = fs::read_to_string(project.dir.path().join("s.toml")).unwrap();
    project.write("new.toml", &sweep.replace("\"s\"", "\"new\""));
    for words in [
        &["verify", "s"][..],
        &["replay", "s"],
        &["doctor"],
        &["ls", "s"],
        &["show", "s"],
        &["best", "s"],
        &["why", "s", "2"],
        &["diff", "1", "3"],
        &["compare", "s"],
        &["export", "s"],
        &["logs", "s", "2"],
        &["plot", "history", "s"],
        &["plan", "new.toml"],
        &["check", "s.toml"],
        &["kinds"],
        &["schema"],
        &["completions", "bash"],
        &["--help"],
        &["ls", "--help"],
        &["--version"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = project
            .command(words)
            .stdout(Stdio::from(full))
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {err}");
    }
}
