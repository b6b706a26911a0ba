//! The version of the code, as the `git` command reports it.

use super::untracked;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use swath_model::source::secret::Secrets;
use swath_model::study::Timestamp;

/// Options for diffs that `git apply` accepts, independent of the user's configuration. Uncommitted
/// changes inside a submodule cannot be part of such a diff.
const DIFF: &[&str] = &[
    "-c",
    "core.quotePath=true",
    "diff",
    "--binary",
    "--full-index",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--ignore-submodules=dirty",
    "--src-prefix=a/",
    "--dst-prefix=b/",
];

/// The state of a checkout: its commit and its uncommitted changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// The commit's full hash.
    pub commit: String,
    /// The branch; `None` if the head is detached.
    pub branch: Option<String>,
    /// The URL of the remote `origin`, without a user name or password.
    pub remote: Option<String>,
    /// Whether the code differs from the commit, by changed tracked files or by untracked code: the
    /// patch is not empty.
    pub dirty: bool,
    /// The md5 of the patch, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_md5: Option<String>,
    /// Untracked code that the patch omits, because the files are too large or too many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Folders that contain no code, such as logs and data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub besides: Vec<PathBuf>,
    /// Files that count as code because the command names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<PathBuf>,
    /// The differences from the commit as a patch; stored in `code.patch`.
    #[serde(skip)]
    pub patch: Vec<u8>,
}

/// The position of a folder in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The top of the working tree.
    pub root: PathBuf,
    /// The folder's path below the top; empty at the top.
    pub prefix: PathBuf,
    /// The commit's full hash.
    pub commit: String,
    /// The branch; `None` if the head is detached.
    pub branch: Option<String>,
}

impl Checkout {
    /// Looks up the checkout that contains `folder`; `None` outside of a checkout, without a
    /// commit, or without git.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        let about = [
            "rev-parse",
            "--show-toplevel",
            "--show-prefix",
            "HEAD",
            "--abbrev-ref",
            "HEAD",
        ];
        let text = ask(folder, &about)?;
        let mut lines = text
            .split(|byte| *byte == b'\n')
            .map(|line| OsStr::from_bytes(line).to_owned());
        let (root, prefix) = (PathBuf::from(lines.next()?), PathBuf::from(lines.next()?));
        let mut words = lines.map(|line| line.to_string_lossy().into_owned());
        let commit = words.next().filter(|commit| commit.len() >= 40)?;
        let branch = words
            .next()
            .filter(|branch| branch != "HEAD" && !branch.is_empty());
        Some(Self {
            root,
            prefix,
            commit,
            branch,
        })
    }

    /// Returns whether the repository contains the commit with this hash.
    #[must_use]
    pub fn has(&self, commit: &str) -> bool {
        is_hash(commit)
            && ask(
                &self.root,
                &["cat-file", "-e", &format!("{commit}^{{commit}}")],
            )
            .is_some()
    }

    /// Returns the number of commits between an earlier commit and this one, and the time of the
    /// first of them. Returns 0 and `None` if git cannot tell.
    #[must_use]
    pub fn since(&self, commit: &str) -> (usize, Option<Timestamp>) {
        let range = format!("{commit}..{}", self.commit);
        let Some(text) = ask(&self.root, &["log", "--format=%ct", &range, "--"]) else {
            return (0, None);
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let first = text
            .lines()
            .last()
            .and_then(|seconds| seconds.parse::<i64>().ok());
        (
            text.lines().count(),
            first.map(|seconds| Timestamp::from_micros(seconds.saturating_mul(1_000_000))),
        )
    }

    /// Returns whether the commit contains a folder, given relative to the top.
    #[must_use]
    pub fn contains(&self, folder: &Path) -> bool {
        let Some(folder) = folder.to_str().map(|folder| folder.trim_end_matches('/')) else {
            return false;
        };
        folder.is_empty()
            || ask(
                &self.root,
                &["cat-file", "-e", &format!("{}:{folder}", self.commit)],
            )
            .is_some()
    }

    /// Returns the differences between a commit and the working tree: a patch, and the untracked
    /// code that the patch omits. The patch shows no secrets. Untracked code is part of it within
    /// bounds, except below the folders `besides`. The files `named` count as code whatever their names are.
    #[must_use]
    pub fn changes(
        &self,
        commit: &str,
        besides: &[PathBuf],
        named: &[PathBuf],
        secrets: &Secrets,
    ) -> (Vec<u8>, Vec<String>) {
        let untracked::Untracked { index, left_out } = untracked::find(self, besides, named);
        let mut words = DIFF.to_vec();
        words.extend([commit, "--"]);
        let mut command = git(&self.root, &words);
        if let Some(index) = &index {
            command.env("GIT_INDEX_FILE", index.path());
        }
        let patch = answer(&mut command).unwrap_or_default();
        (secrets.redact_bytes(&patch).into_owned(), left_out)
    }
}

impl Git {
    /// Looks up the checkout that contains `folder`; `None` outside of a checkout, without a
    /// commit, or without git. The folders `besides` contain no code; the files `named` count as
    /// code whatever their names are.
    #[must_use]
    pub fn of(
        folder: &Path,
        besides: &[PathBuf],
        named: &[PathBuf],
        secrets: &Secrets,
    ) -> Option<Self> {
        let checkout = Checkout::of(folder)?;
        let (patch, left_out) = checkout.changes(&checkout.commit, besides, named, secrets);
        let remote = ask(folder, &["remote", "get-url", "origin"]);
        let remote = remote.map(|url| String::from_utf8_lossy(&url).trim().to_owned());
        Some(Self {
            dirty: !patch.is_empty(),
            patch_md5: (!patch.is_empty()).then(|| md5_of(&patch)),
            commit: checkout.commit,
            branch: checkout.branch,
            remote: remote
                .filter(|url| !url.is_empty())
                .map(|url| secrets.redact(&without_credentials(&url)).into_owned()),
            left_out,
            besides: besides.to_vec(),
            named: named
                .iter()
                .filter(|path| path.is_file())
                .cloned()
                .collect(),
            patch,
        })
    }

    /// Returns the commit's hash, with the suffix `-dirty` if files differ from it.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{}{}", self.commit, if self.dirty { "-dirty" } else { "" })
    }
}

/// Returns whether a text has the form of a commit's hash: 7 to 64 hexadecimal digits. Git cannot
/// mistake such a text for an option or a range.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Builds a git command for a folder. It never prompts the user, takes no optional locks and
/// discards the error output.
#[must_use]
pub fn git(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(words);
    command
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0");
    // Variables of an outer git command, such as a hook, would point at another repository.
    command
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Returns the output of git if it succeeds.
pub(super) fn ask(folder: &Path, words: &[&str]) -> Option<Vec<u8>> {
    answer(&mut git(folder, words))
}

fn answer(command: &mut Command) -> Option<Vec<u8>> {
    let output = command.output().ok()?;
    output.status.success().then_some(output.stdout)
}

/// Returns the md5 of some bytes in hexadecimal.
#[must_use]
pub fn md5_of(bytes: &[u8]) -> String {
    Md5::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Removes `user:password@` from a URL.
#[must_use]
pub fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn credentials_are_cut_out_of_urls_and_nothing_else() {
        assert_eq!(
            without_credentials("https://me:secret@host/a/b.git"),
            "https://host/a/b.git"
        );
        assert_eq!(
            without_credentials("https://token@host:8443"),
            "https://host:8443"
        );
        assert_eq!(
            without_credentials("https://a:b@c@host:8443"),
            "https://host:8443"
        );
        assert_eq!(
            without_credentials("https://host/p@th"),
            "https://host/p@th"
        );
        assert_eq!(without_credentials("git@host:a/b.git"), "git@host:a/b.git");
    }

    #[test]
    fn a_folder_outside_of_any_checkout_has_no_version() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(Git::of(folder.path(), &[], &[], &Secrets::default()), None);
    }

    /// A repository with one commit of `train.py`.
    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &["init", "-q", "-b", "trunk"]);
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("src/train.py"), "lr = 1\n").unwrap();
        run(folder.path(), &["add", "."]);
        let commit = [
            "-c",
            "user.name=n",
            "-c",
            "user.email=e@x",
            "commit",
            "-q",
            "-m",
            "first",
        ];
        run(folder.path(), &commit);
        let url = "https://me:secret@host/repo.git";
        run(folder.path(), &["remote", "add", "origin", url]);
        folder
    }

    fn run(folder: &Path, words: &[&str]) {
        let status = git(folder, words).status().unwrap();
        assert!(status.success(), "{words:?}");
    }

    fn set_modified(path: &Path, time: std::time::SystemTime) {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }

    #[test]
    fn a_clean_checkout_is_described_without_credentials_or_patch() {
        let folder = repository();
        let version = Git::of(&folder.path().join("src"), &[], &[], &Secrets::default()).unwrap();
        assert_eq!(
            (version.branch.as_deref(), version.dirty),
            (Some("trunk"), false)
        );
        assert_eq!(version.remote.as_deref(), Some("https://host/repo.git"));
        assert!(
            is_hash(&version.commit) && version.patch.is_empty() && version.patch_md5.is_none()
        );
        let checkout = Checkout::of(&folder.path().join("src")).unwrap();
        assert_eq!(checkout.prefix, Path::new("src/"));
        assert!(
            checkout.has(&version.commit)
                && !checkout.has(&"0".repeat(40))
                && !checkout.has("--help")
        );
    }

    #[test]
    fn code_that_changed_in_the_instant_of_the_commit_is_part_of_the_patch() {
        let folder = repository();
        let file = folder.path().join("src/train.py");
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(10);
        set_modified(&file, then);
        run(folder.path(), &["add", "src/train.py"]);
        fs::write(&file, "lr = 2\n").unwrap();
        set_modified(&file, then);
        set_modified(&folder.path().join(".git/index"), then);
        fs::write(folder.path().join("new.py"), "a = 1\n").unwrap();
        let version = Git::of(folder.path(), &[], &[], &Secrets::default()).unwrap();
        let patch = String::from_utf8(version.patch).unwrap();
        assert!(
            patch.contains("+lr = 2") && patch.contains("+a = 1"),
            "{patch}"
        );
    }

    #[test]
    fn new_code_is_part_of_the_patch_and_output_is_not() {
        let folder = repository();
        let root = folder.path();
        fs::write(root.join("src/train.py"), "lr = 2\n").unwrap();
        fs::create_dir_all(root.join("logs/s/1")).unwrap();
        for (name, text) in [
            ("src/größe.py", "a = 1\n"),
            ("weights.bin", "\0\0"),
            ("conf.json", "{}\n"),
            ("logs/s/1/copy.py", "x\n"),
        ] {
            fs::write(root.join(name), text).unwrap();
        }
        fs::write(root.join("huge.py"), vec![b'#'; 2 << 20]).unwrap();
        let before = fs::read(root.join(".git/index")).unwrap();
        let (besides, named) = ([root.join("logs")], [root.join("conf.json")]);
        let version = Git::of(&root.join("src"), &besides, &named, &Secrets::default()).unwrap();
        assert_eq!(version.left_out, ["huge.py"]);
        assert_eq!(version.patch_md5, Some(md5_of(&version.patch)));
        assert!(version.describe().ends_with("-dirty"));
        assert_eq!(
            fs::read(root.join(".git/index")).unwrap(),
            before,
            "the user's index is not changed"
        );
        let other = tempfile::tempdir().unwrap();
        let clone = other.path().join("c");
        let cloned = git(root, &["clone", "-q"])
            .arg(root)
            .arg(&clone)
            .status()
            .unwrap();
        assert!(cloned.success());
        fs::write(other.path().join("p"), &version.patch).unwrap();
        let applied = git(&clone, &["apply", "--binary"])
            .arg(other.path().join("p"))
            .status()
            .unwrap();
        assert!(applied.success());
        for (name, expected) in [
            ("src/train.py", Some("lr = 2\n")),
            ("src/größe.py", Some("a = 1\n")),
            ("conf.json", Some("{}\n")),
            ("weights.bin", None),
            ("logs/s/1/copy.py", None),
        ] {
            let text = fs::read_to_string(clone.join(name)).ok();
            assert_eq!(text.as_deref(), expected, "{name}");
        }
        assert_eq!(
            Git::of(root, &besides, &named, &Secrets::default())
                .unwrap()
                .patch_md5,
            version.patch_md5
        );
    }
}
