//! The script of a job: change to the directory in which the run was called, check that the study's
//! folder is visible from the node, take over the caller's environment, start the pilot.

use super::PilotDir;
use std::path::Path;

/// Values that the script is made of.
pub(super) struct Script<'a> {
    pub(super) swath: &'a str,
    pub(super) called: &'a Path,
    pub(super) study: &'a Path,
    pub(super) batch: &'a str,
    pub(super) prelude: &'a [String],
    /// Names of environment variables; the first one that is set holds the job's index in its
    /// batch.
    pub(super) index: &'a [&'a str],
}

/// Exit code of a job whose node does not see the directory of the run or the study's folder.
const FOLDER_NOT_VISIBLE: u32 = 97;

/// Returns the text of the script.
pub(super) fn script(script: &Script<'_>) -> String {
    let Script {
        swath,
        called,
        study,
        batch,
        prelude,
        index,
    } = script;
    let dir = PilotDir::of(study);
    let (called, shown) = (
        quoted(&called.display().to_string()),
        study.display().to_string(),
    );
    let index = index
        .iter()
        .rev()
        .fold("0".to_owned(), |rest, name| format!("${{{name}:-{rest}}}"));
    let spec = quoted(&dir.spec(batch).display().to_string());
    let variables = quoted(&dir.variables(batch).display().to_string());
    let prelude: String = prelude.iter().map(|line| format!("{line}\n")).collect();
    format!(
        r#"#!/bin/sh
# A pilot of the study {shown}: runs its trials in this job.
SWATH_JOB_BEGAN=$(date +%s); export SWATH_JOB_BEGAN
cd {called} || {{
    echo "swath: $(hostname) does not see the folder "{called}", in which the run was called; it has to be on a file system that all nodes share" >&2
    exit {FOLDER_NOT_VISIBLE}
}}
tries=0
while [ ! -r {spec} ] || [ ! -r {variables} ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 60 ]; then
        echo "swath: $(hostname) does not see "{spec}"; the study's folder has to be on a file system that all nodes share (--logs)" >&2
        exit {FOLDER_NOT_VISIBLE}
    fi
    sleep 1
done
. {variables}
{prelude}exec {} pilot --study {} --batch {} --index "{index}"
"#,
        quoted(swath),
        quoted(&shown),
        quoted(batch),
    )
}

/// Quotes a word for a POSIX shell.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_valid_for_any_names_of_folders() {
        let prelude = ["module() { :; }".to_owned(), "module load x".to_owned()];
        let text = script(&Script {
            swath: "/opt/it's here/swath",
            called: Path::new("/a b"),
            study: Path::new("/a b/logs/it's"),
            batch: "swath-x-1",
            prelude: &prelude,
            index: &["SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX"],
        });
        assert!(
            text.contains("module load x\nexec '/opt/it'\\''s here/swath' pilot --study"),
            "{text}"
        );
        assert!(
            text.ends_with("--index \"${SLURM_ARRAY_TASK_ID:-${PBS_ARRAY_INDEX:-0}}\"\n"),
            "{text}"
        );
        let words = ["sh".to_owned(), "-n".to_owned()];
        let checked = super::super::engine::call(&words, &text).unwrap();
        assert!(checked.success, "{}", checked.err);
    }
}
