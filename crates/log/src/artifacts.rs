//! Stores files under a trial's `artifacts/`, in folders by type, in MLXP's layout.

use super::copy::copy;
use super::digest::LeftOut;
use super::files::check_log;
use super::regular;
use super::yaml;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file or folder that was stored.
#[derive(Debug)]
pub(super) struct Stored {
    /// The path relative to the trial's folder.
    pub(super) path: String,
    /// The entries that were not stored, with reasons.
    pub(super) left_out: Vec<LeftOut>,
}

/// Copies `real`, which the trial named `relative`, into the trial's folder.
///
/// A file that already lies under the trial's `artifacts/` stays where it is. A copy appears under
/// its name only when it is complete.
pub(super) fn store(
    trial: &Path,
    real: &Path,
    relative: &str,
    folder: Option<&str>,
) -> io::Result<Stored> {
    let artifacts = trial.join("artifacts");
    if let Some(inside) = artifacts
        .canonicalize()
        .ok()
        .and_then(|artifacts| real.strip_prefix(artifacts).ok().map(Path::to_path_buf))
    {
        write_list(&artifacts)?;
        let path = format!("artifacts/{}", inside.display());
        return Ok(Stored {
            path,
            left_out: Vec::new(),
        });
    }
    // A copy of such a folder would contain itself.
    if trial
        .canonicalize()
        .is_ok_and(|trial| trial.starts_with(real))
    {
        return Err(io::Error::other(format!(
            "`{relative}` contains the trial's own folder"
        )));
    }
    let folder = folder
        .filter(|folder| check_log(folder).is_ok())
        .unwrap_or_else(|| folder_of(relative));
    let target = artifacts.join(folder).join(relative);
    let parent = target.parent().unwrap_or(&artifacts);
    fs::create_dir_all(parent)?;
    let draft_folder = tempfile::Builder::new()
        .prefix(".copy")
        .tempdir_in(parent)?;
    let draft = draft_folder.path().join("copy");
    let left_out = copy(real, &draft, &mut |_| Ok(()))?;
    // A rename replaces a file, but not a folder that has entries.
    if target.is_dir() {
        fs::remove_dir_all(&target)?;
    }
    fs::rename(&draft, &target)?;
    drop(draft_folder);
    write_list(&artifacts)?;
    Ok(Stored {
        path: format!("artifacts/{folder}/{relative}"),
        left_out,
    })
}

/// Writes `bytes` to `artifacts/<folder>/<name>` of the trial's folder and replaces an existing
/// file. Returns the path relative to the trial's folder.
///
/// The name must be a relative path of at most 200 bytes without `..` and control characters;
/// otherwise an error is returned.
pub(crate) fn store_bytes(
    trial: &Path,
    folder: &str,
    name: &str,
    bytes: &[u8],
) -> io::Result<String> {
    let is_plain = Path::new(name)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if name.is_empty() || !is_plain || name.len() > 200 || name.chars().any(char::is_control) {
        let shown: String = name.chars().take(40).collect();
        return Err(io::Error::other(format!(
            "`{}` cannot be the name: use a relative path of at most 200 bytes without `..`",
            shown.escape_debug()
        )));
    }
    let artifacts = trial.join("artifacts");
    let target = artifacts.join(folder).join(name);
    let parent = target.parent().unwrap_or(&artifacts);
    fs::create_dir_all(parent)?;
    let mut draft = tempfile::Builder::new()
        .prefix(".copy")
        // The mode of any new file: the umask decides who may read it.
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(parent)?;
    io::Write::write_all(&mut draft, bytes)?;
    draft.persist(&target).map_err(|error| error.error)?;
    write_list(&artifacts)?;
    Ok(format!("artifacts/{folder}/{name}"))
}

/// Returns the folder for a file's extension: one of those that MLXP loads from, or `file`.
fn folder_of(path: &str) -> &'static str {
    match Path::new(path)
        .extension()
        .and_then(|extension| extension.to_str())
    {
        Some("pkl" | "pickle" | "dill") => "pickle",
        Some("npy") => "numpy",
        Some("pt" | "pth") => "torch",
        Some("png" | "jpg" | "jpeg" | "gif" | "bmp" | "webp") => "image",
        _ => "file",
    }
}

/// The types of artifacts that MLXP can load. Its Reader refuses a study that lists another one.
const MLXP_TYPES: [&str; 4] = ["image", "numpy", "pickle", "torch"];

/// Writes `.keys/artifacts.yaml`, the list for MLXP's Reader: type, then folder (`.a.b` for `a/b`,
/// empty for none), then name.
fn write_list(artifacts: &Path) -> io::Result<()> {
    let mut types: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    let mut folders_to_read: Vec<(PathBuf, Vec<String>)> = MLXP_TYPES
        .iter()
        .map(|kind| (artifacts.join(kind), vec![(*kind).to_owned()]))
        .filter(|(folder, _)| folder.is_dir())
        .collect();
    while let Some((folder, path)) = folders_to_read.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                let inside = path.iter().cloned().chain([name]).collect();
                folders_to_read.push((entry.path(), inside));
            } else if let Some((kind, folders)) = path.split_first() {
                let key: String = folders.iter().map(|folder| format!(".{folder}")).collect();
                types
                    .entry(kind.clone())
                    .or_default()
                    .entry(key)
                    .or_default()
                    .push(name);
            }
        }
    }
    let mut text = String::new();
    if types.is_empty() {
        text.push_str("{}\n");
    }
    for (kind, folders) in &mut types {
        text.extend([&quoted(kind), ":\n"]);
        for (folder, names) in folders {
            names.sort();
            text.extend(["  ", &quoted(folder), ":\n"]);
            text.extend(
                names
                    .iter()
                    .map(|name| format!("    {}: ''\n", quoted(name))),
            );
        }
    }
    fs::create_dir_all(artifacts.join(".keys"))?;
    regular::write(&artifacts.join(".keys/artifacts.yaml"), text.as_bytes())
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    yaml::text(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_laid_out_as_mlxp_does_and_only_its_own_types_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let (work, trial) = (dir.path().join("w"), dir.path().join("t"));
        fs::create_dir_all(work.join("sub/dir")).unwrap();
        fs::write(work.join("sub/dir/x.pkl"), "x").unwrap();
        fs::write(work.join("last.pkl"), "l").unwrap();
        fs::write(work.join("notes.txt"), "n").unwrap();
        let stored_path =
            |name: &str, folder| store(&trial, &work.join(name), name, folder).unwrap().path;
        assert_eq!(
            stored_path("sub/dir/x.pkl", None),
            "artifacts/pickle/sub/dir/x.pkl"
        );
        assert_eq!(stored_path("last.pkl", None), "artifacts/pickle/last.pkl");
        assert_eq!(
            stored_path("notes.txt", Some("texts")),
            "artifacts/texts/notes.txt"
        );
        assert_eq!(
            stored_path("notes.txt", Some("../out")),
            "artifacts/file/notes.txt"
        );
        assert_eq!(stored_path("sub", None), "artifacts/file/sub");
        store_bytes(&trial, "Checkpoint", "last.pkl", b"c").unwrap();
        let expected = "\
pickle:
  '':
    last.pkl: ''
  '.sub.dir':
    x.pkl: ''
";
        assert_eq!(
            fs::read_to_string(trial.join("artifacts/.keys/artifacts.yaml")).unwrap(),
            expected
        );
    }

    #[test]
    fn without_an_artifact_that_mlxp_can_load_its_list_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        store_bytes(dir.path(), "text", "greeting.txt", b"hello").unwrap();
        let list = fs::read_to_string(dir.path().join("artifacts/.keys/artifacts.yaml")).unwrap();
        assert_eq!(list, "{}\n");
    }

    #[test]
    fn a_file_that_lies_under_artifacts_already_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("1/artifacts/image/a.png");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "a").unwrap();
        let real = file.canonicalize().unwrap();
        let stored = store(
            &dir.path().join("1"),
            &real,
            "1/artifacts/image/a.png",
            None,
        )
        .unwrap();
        assert_eq!(stored.path, "artifacts/image/a.png");
        assert_eq!(
            fs::read_dir(dir.path().join("1/artifacts"))
                .unwrap()
                .count(),
            2
        );
    }

    #[test]
    fn an_artifact_stored_again_replaces_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["one", "two"] {
            fs::write(dir.path().join("a.txt"), text).unwrap();
            store(
                &dir.path().join("t"),
                &dir.path().join("a.txt"),
                "a.txt",
                None,
            )
            .unwrap();
        }
        assert_eq!(
            fs::read_to_string(dir.path().join("t/artifacts/file/a.txt")).unwrap(),
            "two"
        );
        assert_eq!(
            fs::read_dir(dir.path().join("t/artifacts/file"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn a_folder_is_stored_without_its_dangling_links_and_pipes_which_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (ck, trial) = (dir.path().join("ck"), dir.path().join("t"));
        fs::create_dir_all(ck.join("step-10")).unwrap();
        fs::write(ck.join("step-10/w.bin"), "a").unwrap();
        std::os::unix::fs::symlink("step-30", ck.join("latest")).unwrap();
        std::os::unix::fs::symlink("step-10", ck.join("best")).unwrap();
        std::os::unix::fs::symlink("w.bin", ck.join("step-10/same.bin")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, ck.join("step-10/pipe"), 0o600.into()).unwrap();
        let stored = store(&trial, &ck, "ck", None).unwrap();
        let named: Vec<String> = stored.left_out.iter().map(ToString::to_string).collect();
        assert_eq!(
            named,
            [
                "best: a symbolic link to a folder",
                "latest: a symbolic link to nothing",
                "step-10/pipe: a named pipe",
            ]
        );
        let read = |name: &str| fs::read_to_string(trial.join(&stored.path).join(name)).unwrap();
        assert_eq!(
            [read("step-10/w.bin"), read("step-10/same.bin")],
            ["a", "a"]
        );
        assert_eq!(
            fs::read_dir(trial.join("artifacts/file/ck"))
                .unwrap()
                .count(),
            1
        );
    }
}
