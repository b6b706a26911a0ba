//! `.dvc` files as DVC 3 writes them, so that `dvc commit` and `dvc push` accept the data sets and
//! models of trials.

use super::steps::StepFile;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Component, Path};
use swath_engine::tracker::TrackerError;
use swath_engine::tracker::home::replace;
use swath_model::study::{LogRecord, Trial};

/// Writes a `.dvc` file for every data set and model of a trial that has a digest and lies inside
/// the workdir. The files go into `folder`, at the paths where they would be beside the data if
/// `folder` were the workdir. Of a model that was saved several times, the last version counts. A
/// path inside a data set that has a `.dvc` file itself gets none, because the new file would
/// change that data set.
pub(super) fn files(folder: &Path, trial: &Trial) -> Result<(), TrackerError> {
    let all: BTreeSet<&Path> = trial
        .records
        .iter()
        .filter_map(named)
        .map(|(path, ..)| Path::new(path))
        .collect();
    for (path, md5, size, files) in trial.records.iter().filter_map(named) {
        let relative = Path::new(path);
        let inside = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        // Look at the parent folders only: the path itself is in `all`.
        let contained = relative
            .ancestors()
            .skip(1)
            .any(|folder| all.contains(folder));
        if inside && !contained && relative.file_name().is_some() {
            replace(
                &folder.join(format!("{path}.dvc")),
                document(relative, md5, size, files).as_bytes(),
            )?;
        }
    }
    Ok(())
}

/// Returns the path, MD5, size in bytes and number of files of a data set or model with a digest.
/// The number of files is `None` for a model.
fn named(record: &LogRecord) -> Option<(&str, &str, u64, Option<u64>)> {
    match record {
        LogRecord::Dataset {
            data_dir,
            md5: Some(md5),
            size,
            files,
            ..
        } => Some((data_dir, md5, *size, Some(*files))),
        LogRecord::Model {
            model_path,
            md5: Some(md5),
            size,
            ..
        } => Some((model_path, md5, *size, None)),
        _ => None,
    }
}

/// Writes the `.dvc` file beside a file of step metrics.
pub(super) fn beside(root: &Path, file: &StepFile) -> Result<(), TrackerError> {
    let path = Path::new(&file.path);
    replace(
        &root.join(format!("{}.dvc", file.path)),
        document(path, &file.md5, file.size, None).as_bytes(),
    )
}

/// Returns the YAML text of a `.dvc` file. `files` is written only for a folder, whose MD5 ends
/// with `.dir`.
fn document(path: &Path, md5: &str, size: u64, files: Option<u64>) -> String {
    let mut text = format!("outs:\n- md5: {md5}\n  size: {size}\n");
    if let Some(files) = files.filter(|_| md5.ends_with(".dir")) {
        let _ = writeln!(text, "  nfiles: {files}");
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Quote every name that YAML could read as something other than a plain string.
    let plain = !name.is_empty()
        && name
            .chars()
            .all(|character| character.is_alphanumeric() || "_-.".contains(character))
        && name.starts_with(|first: char| first.is_alphabetic())
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&&*name.to_lowercase());
    let name = if plain {
        name.into_owned()
    } else {
        serde_json::json!(name).to_string()
    };
    let _ = writeln!(text, "  hash: md5\n  path: {name}");
    text
}

#[cfg(test)]
mod tests {
    use super::{document, files};
    use std::path::Path;
    use swath_model::demo::Demo;
    use swath_model::study::{Exit, LogRecord};

    #[test]
    fn no_file_is_written_into_a_data_set_nor_outside_the_folder() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        for path in ["data", "data/deep/x.csv", "/abs", "../up", "m/a.bin"] {
            let (data_dir, md5) = (path.to_owned(), Some("ab".to_owned()));
            demo.log(
                trial,
                LogRecord::Dataset {
                    data_dir,
                    role: String::new(),
                    md5,
                    size: 1,
                    files: 1,
                    partial: Vec::new(),
                },
            );
        }
        demo.end(trial, Exit::Done);
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("work");
        files(&folder, demo.study.trial(trial).unwrap()).unwrap();
        let written = |path: &str| folder.join(path).exists();
        assert!(written("data.dvc") && written("m/a.bin.dvc"));
        assert!(!written("data") && !outer.path().join("up.dvc").exists());
    }

    #[test]
    fn a_document_is_as_dvc_writes_it() {
        let data = document(
            Path::new("data"),
            "46b516c475aa0517f33ba9e09bfbf39b.dir",
            23,
            Some(5),
        );
        assert_eq!(
            data,
            "outs:\n- md5: 46b516c475aa0517f33ba9e09bfbf39b.dir\n  size: 23\n  nfiles: 5\n  hash: md5\n  path: data\n"
        );
        let model = document(Path::new("m/1 é.bin"), "caf4", 27, None);
        assert_eq!(
            model,
            "outs:\n- md5: caf4\n  size: 27\n  hash: md5\n  path: \"1 é.bin\"\n"
        );
    }
}
