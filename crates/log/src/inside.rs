//! Confines the paths that a trial names to its workdir.

use std::io;
use std::path::{Component, Path, PathBuf};

/// A path inside the workdir.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inside {
    /// The path relative to the workdir, without `.` and `..`.
    pub(super) relative: String,
    /// The real path with links resolved; `None` if it does not exist.
    pub(super) real: Option<PathBuf>,
}

/// The reason why a path is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Outside {
    #[error("the path is empty")]
    Empty,
    #[error("`{path}` is absolute; paths are relative to the workdir{hint}")]
    Absolute { path: String, hint: String },
    #[error("`{path}` leaves the workdir by `..`")]
    Escapes { path: String },
    #[error("`{path}` leaves the workdir by a symbolic link to `{target}`")]
    Linked { path: String, target: String },
    #[error("`{path}` cannot be looked up: {why}")]
    Unreadable { path: String, why: String },
}

impl Outside {
    fn unreadable(path: &str, error: &io::Error) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            why: error.to_string(),
        }
    }
}

/// Checks that the path `named` by the trial lies in `workdir`, both by its name and by the targets
/// of its links.
pub(super) fn inside(workdir: &Path, named: &str) -> Result<Inside, Outside> {
    if named.is_empty() {
        return Err(Outside::Empty);
    }
    let path = named.to_owned();
    if Path::new(named).is_absolute() {
        let hint = relative_to(workdir, Path::new(named)).map_or_else(String::new, |relative| {
            format!(": write `{}`", relative.display())
        });
        return Err(Outside::Absolute { path, hint });
    }
    let Some(relative) = without_dots(Path::new(named)) else {
        return Err(Outside::Escapes { path });
    };
    let root = workdir
        .canonicalize()
        .map_err(|error| Outside::unreadable(named, &error))?;
    let (real, exists) =
        resolve_existing(&root, &relative).map_err(|error| Outside::unreadable(named, &error))?;
    if !real.starts_with(&root) {
        return Err(Outside::Linked {
            path,
            target: real.display().to_string(),
        });
    }
    let relative = if relative.as_os_str().is_empty() {
        Path::new(".")
    } else {
        &relative
    };
    Ok(Inside {
        relative: relative.to_string_lossy().into_owned(),
        real: exists.then_some(real),
    })
}

/// Checks a path whose file is copied into the trial's folder: relative to `workdir`, or absolute in
/// `workdir` or in the trial's own folder `trial`.
pub(super) fn inside_either(workdir: &Path, trial: &Path, named: &str) -> Result<Inside, Outside> {
    let path = Path::new(named);
    let roots = path.is_absolute().then_some([workdir, trial]);
    let inner = roots
        .into_iter()
        .flatten()
        .find_map(|root| Some((root, relative_to(root, path)?)));
    match inner {
        Some((root, relative)) => inside(root, &relative.to_string_lossy()),
        None => inside(workdir, named),
    }
}

/// Returns a data set's path as it is recorded (relative inside the workdir, absolute outside), and
/// the path to read it from.
pub(super) fn data_dir(workdir: &Path, named: &Path) -> (String, PathBuf) {
    let readable = workdir.join(named);
    let absolute = std::path::absolute(&readable)
        .ok()
        .and_then(|path| without_dots(&path))
        .unwrap_or_else(|| readable.clone());
    let recorded = relative_to(workdir, &absolute).unwrap_or(absolute);
    let recorded = if recorded.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        recorded
    };
    (recorded.to_string_lossy().into_owned(), readable)
}

/// Returns `path` relative to `workdir`, if it lies there by name. Links are not resolved.
fn relative_to(workdir: &Path, path: &Path) -> Option<PathBuf> {
    let root = std::path::absolute(workdir)
        .ok()
        .and_then(|root| without_dots(&root))?;
    without_dots(path)?
        .strip_prefix(root)
        .ok()
        .map(Path::to_path_buf)
}

/// Removes `.` and `..` by name; `None` if `..` leads above the start of the path.
fn without_dots(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    let mut depth = 0_usize;
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                depth = depth.checked_sub(1)?;
                out.pop();
            }
            Component::Normal(name) => {
                depth += 1;
                out.push(name);
            }
            Component::RootDir | Component::Prefix(_) => out.push(component),
        }
    }
    Some(out)
}

/// Resolves the links of the part of `relative` that exists; returns the result and whether all of
/// it exists.
fn resolve_existing(root: &Path, relative: &Path) -> io::Result<(PathBuf, bool)> {
    let path = root.join(relative);
    let mut ancestor = path.as_path();
    loop {
        match ancestor.canonicalize() {
            Ok(real) => {
                let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
                let exists = rest.as_os_str().is_empty();
                return Ok((if exists { real } else { real.join(rest) }, exists));
            }
            // A link to nothing may point anywhere. Its target is the file that would be written,
            // so the target is checked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Ok(target) = ancestor.read_link() {
                    let from = ancestor.parent().unwrap_or(root);
                    let target = from.join(target);
                    return Ok((without_dots(&target).unwrap_or(target), false));
                }
                ancestor = ancestor.parent().ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn world() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("work/models")).unwrap();
        fs::write(dir.path().join("work/models/m.bin"), "m").unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        dir
    }

    #[test]
    fn a_path_in_the_workdir_is_recorded_without_dots() {
        let dir = world();
        let accepted = inside(&dir.path().join("work"), "./models/../models/m.bin").unwrap();
        assert_eq!(accepted.relative, "models/m.bin");
        assert!(accepted.real.unwrap().ends_with("work/models/m.bin"));
    }

    #[test]
    fn a_missing_file_is_inside_without_a_real_path() {
        let dir = world();
        let accepted = inside(&dir.path().join("work"), "models/new/m.bin").unwrap();
        assert_eq!(
            accepted,
            Inside {
                relative: "models/new/m.bin".into(),
                real: None
            }
        );
    }

    #[test]
    fn an_absolute_path_is_refused_and_the_remedy_is_named() {
        let dir = world();
        let work = dir.path().join("work");
        let refused = inside(&work, work.join("models/m.bin").to_str().unwrap()).unwrap_err();
        assert!(
            refused
                .to_string()
                .ends_with("paths are relative to the workdir: write `models/m.bin`"),
            "{refused}"
        );
        assert!(
            matches!(inside(&work, "/etc/hostname"), Err(Outside::Absolute { hint, .. }) if hint.is_empty())
        );
    }

    #[test]
    fn a_file_to_copy_may_be_absolute_in_the_workdir_or_in_the_trial() {
        let dir = world();
        let (work, trial) = (dir.path().join("work"), dir.path().join("logs/1"));
        fs::create_dir_all(&trial).unwrap();
        fs::write(trial.join("figure.png"), "f").unwrap();
        symlink(dir.path().join("secret"), trial.join("link")).unwrap();
        let relative_path = |path: &Path| {
            inside_either(&work, &trial, path.to_str().unwrap()).map(|inside| inside.relative)
        };
        assert_eq!(
            relative_path(&work.join("models/m.bin")).unwrap(),
            "models/m.bin"
        );
        assert_eq!(
            relative_path(Path::new("models/m.bin")).unwrap(),
            "models/m.bin"
        );
        assert_eq!(
            relative_path(&trial.join("figure.png")).unwrap(),
            "figure.png"
        );
        assert!(matches!(
            relative_path(&trial.join("link")),
            Err(Outside::Linked { .. })
        ));
        assert!(matches!(
            relative_path(&trial.join("../2/figure.png")),
            Err(Outside::Absolute { .. })
        ));
    }

    #[test]
    fn dots_and_links_do_not_lead_out() {
        let dir = world();
        let work = dir.path().join("work");
        symlink(dir.path(), work.join("out")).unwrap();
        symlink(dir.path().join("nothing"), work.join("dangling")).unwrap();
        symlink("../nothing", work.join("models/up")).unwrap();
        symlink("models", work.join("in")).unwrap();
        assert!(matches!(
            inside(&work, "../secret"),
            Err(Outside::Escapes { .. })
        ));
        assert!(matches!(
            inside(&work, "models/../../secret"),
            Err(Outside::Escapes { .. })
        ));
        assert!(matches!(
            inside(&work, "out/secret"),
            Err(Outside::Linked { .. })
        ));
        assert!(matches!(
            inside(&work, "out/new"),
            Err(Outside::Linked { .. })
        ));
        assert!(matches!(
            inside(&work, "dangling"),
            Err(Outside::Linked { .. })
        ));
        assert_eq!(inside(&work, "models/up").unwrap().real, None);
        assert_eq!(inside(&work, "in/m.bin").unwrap().relative, "in/m.bin");
    }

    #[test]
    fn a_loop_of_links_is_refused() {
        let dir = world();
        let work = dir.path().join("work");
        symlink("b", work.join("a")).unwrap();
        symlink("a", work.join("b")).unwrap();
        assert!(matches!(
            inside(&work, "a"),
            Err(Outside::Unreadable { .. })
        ));
    }

    #[test]
    fn a_data_set_is_relative_inside_the_workdir_and_absolute_outside() {
        let work = Path::new("/project");
        assert_eq!(data_dir(work, Path::new("data/./digits")).0, "data/digits");
        assert_eq!(data_dir(work, Path::new("/project/data")).0, "data");
        assert_eq!(data_dir(work, Path::new("../shared")).0, "/shared");
        assert_eq!(data_dir(work, Path::new("/data")).0, "/data");
        assert_eq!(data_dir(work, Path::new(".")).0, ".");
    }
}
