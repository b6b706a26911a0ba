//! The version of the code, asked of the `git` command.

use serde::Serialize;
use std::path::Path;
use std::process::{Command, Stdio};

/// A checkout: where it stands and what was changed in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Git {
    /// The commit's full hash.
    pub commit: String,
    /// The branch, absent when detached.
    pub branch: Option<String>,
    /// Where `origin` is, without any user name and password.
    pub remote: Option<String>,
    /// Whether tracked files differ from the commit.
    pub dirty: bool,
    /// How they differ, as a patch; kept in `code.patch`.
    #[serde(skip)]
    pub patch: Vec<u8>,
}

impl Git {
    /// Asks about the checkout that `folder` is in; `None` outside of one, without a commit, or without git.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        let ask = |arguments: &[&str]| {
            let output = Command::new("git")
                .arg("-C")
                .arg(folder)
                .args(arguments)
                .env("GIT_OPTIONAL_LOCKS", "0")
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .output()
                .ok()?;
            output.status.success().then_some(output.stdout)
        };
        let line = |arguments: &[&str]| {
            let text = String::from_utf8(ask(arguments)?).ok()?.trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let commit = line(&["rev-parse", "--verify", "HEAD"])?;
        let patch = ask(&["diff", "--binary", "--no-ext-diff", "HEAD"]).unwrap_or_default();
        Some(Self {
            commit,
            branch: line(&["symbolic-ref", "--short", "-q", "HEAD"]),
            remote: line(&["remote", "get-url", "origin"]).map(|url| without_credentials(&url)),
            dirty: !patch.is_empty(),
            patch,
        })
    }

    /// Returns the commit, `-dirty` behind it if files differ from it.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{}{}", self.commit, if self.dirty { "-dirty" } else { "" })
    }
}

/// Cuts `user:password@` out of a URL.
#[must_use]
pub fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) =
        rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match path {
        Some(path) => format!("{scheme}://{host}/{path}"),
        None => format!("{scheme}://{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_cut_out_of_urls_and_nothing_else() {
        assert_eq!(without_credentials("https://me:secret@host/a/b.git"), "https://host/a/b.git");
        assert_eq!(without_credentials("https://token@host:8443"), "https://host:8443");
        assert_eq!(without_credentials("https://host/p@th"), "https://host/p@th");
        assert_eq!(without_credentials("git@host:a/b.git"), "git@host:a/b.git");
    }

    #[test]
    fn a_folder_outside_of_any_checkout_has_no_version() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(Git::of(folder.path()), None);
    }
}
