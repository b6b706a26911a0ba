use super::*;
use swath_model::source::Source;

/// A project with files of all kinds, of which `tracked` are committed.
fn project(files: &[&str], tracked: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in files.iter().chain(tracked) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, *name).unwrap();
    }
    if !tracked.is_empty() {
        let run = |words: &[&str]| {
            assert!(
                git(folder.path(), words).status().unwrap().success(),
                "{words:?}"
            );
        };
        run(&["init", "-q"]);
        run(&[&["add", "-f", "--"], tracked].concat());
        let identity = ["-c", "user.name=n", "-c", "user.email=e@x"];
        run(&[&identity[..], &["commit", "-q", "-m", "first"]].concat());
    }
    folder
}

fn plan_in(folder: &Path, run: &str) -> Result<WorkPlan, WorkError> {
    let text =
        format!("[run]\n{run}\nworkdir = \"private\"\n[search]\ntrials = 1\n[space]\nx = [1, 2]\n");
    let name = "s.toml".to_owned();
    let sweep = Sweep::parse(Source { name, text }).unwrap();
    let options = Options {
        logs: folder.join("logs"),
        workdir: folder.to_owned(),
        ..Options::default()
    };
    work_plan(&sweep, &options).map(Option::unwrap)
}

const COMMAND: &str = "command = [\"python3\", \"train.py\", \"{x}\"]";

#[test]
fn without_git_code_is_copied_data_linked_and_output_left_out() {
    let files = [
        "train.py",
        "net/layers.py",
        "conf/a.yaml",
        "data/x.npz",
        "checkpoints/last.json",
        "last.json",
        "outputs/run.yaml",
        "logs/old/1/work/train.py",
        "__pycache__/train.pyc",
    ];
    let folder = project(&files, &[]);
    let plan = plan_in(folder.path(), COMMAND).unwrap();
    let copied: Vec<_> = plan
        .files
        .tracked
        .iter()
        .map(|path| path.to_str().unwrap())
        .collect();
    assert_eq!(copied, ["conf/a.yaml", "net/layers.py", "train.py"]);
    assert_eq!(
        (plan.linked, plan.copied),
        (vec!["data".to_owned()], Vec::new())
    );
    assert_eq!(plan.absent, ["checkpoints/", "last.json", "outputs/"]);
}

#[test]
fn with_git_tracked_files_untracked_code_and_what_the_command_names_are_there() {
    let untracked = [
        "new.py",
        "checkpoints/last.pt",
        "data/big.npz",
        "store/x",
        "weights.bin",
        "helpers/secret.py",
        "venv/pyvenv.cfg",
        "venv/bin/python",
        "noise.bin",
    ];
    let tracked = [
        "train.py",
        "checkpoints/README",
        "data/README",
        ".gitignore",
        "vocab.json",
    ];
    let folder = project(&untracked, &tracked);
    fs::write(folder.path().join(".gitignore"), "helpers/\ndata/*.npz\n").unwrap();
    fs::write(
        folder.path().join("train.py"),
        "from helpers import secret\n",
    )
    .unwrap();
    let run = "command = [\"venv/bin/python\", \"train.py\", \"--w=weights.bin\", \"{x}\"]\n\
               data_dir = \"store\"";
    let plan = plan_in(folder.path(), run).unwrap();
    assert_eq!(plan.copied, ["helpers/secret.py", "new.py", "weights.bin"]);
    assert_eq!(plan.linked, ["data", "store", "venv"]);
    assert_eq!(plan.absent, ["checkpoints/last.pt", "noise.bin"]);
    let has = |name: &str| plan.files.tracked.contains(&PathBuf::from(name));
    assert!(has("checkpoints/README") && has("vocab.json") && !has("data/README"));
}

#[test]
fn link_and_copy_replace_the_default() {
    let files = ["train.py", "data/x", "store/y", "notes/z.bin", "../outside"];
    let folder = project(&files[..4], &["README"]);
    let run = format!("{COMMAND}\nlink = [\"store\"]\ncopy = [\"notes\", \"train.py\"]");
    let plan = plan_in(folder.path(), &run).unwrap();
    assert_eq!(plan.linked, ["store"]);
    assert_eq!(plan.copied, ["notes/z.bin", "train.py"]);
    assert_eq!(plan.absent, ["data/"]);
    let refused = plan_in(
        folder.path(),
        &format!("{COMMAND}\nlink = [\"../outside\"]"),
    );
    let message = refused.unwrap_err().to_string();
    assert!(
        message.starts_with("`../outside` in `link` leads out of the project"),
        "{message}"
    );
}

#[test]
fn large_files_become_links_where_blocks_cannot_be_shared() {
    let folder = project(&[], &["train.py", "large.bin"]);
    let large = fs::File::create(folder.path().join("large.bin")).unwrap();
    large.set_len(LARGEST_COPY + 1).unwrap();
    let plan = plan_in(folder.path(), COMMAND).unwrap();
    let links: Vec<_> = plan
        .files
        .links
        .iter()
        .map(|link| link.path.clone())
        .collect();
    match plan.files.shares_blocks {
        true => assert!(links.is_empty()),
        false => assert_eq!(links, [PathBuf::from("large.bin")]),
    }
    assert!(plan.linked.is_empty() && !plan.is_huge());
}

#[test]
fn trials_run_in_the_folder_of_the_project_in_which_swath_was_called() {
    let folder = project(&[], &["exp/train.py", "lib/a.py"]);
    let plan = plan_in(&folder.path().join("exp"), COMMAND).unwrap();
    assert_eq!(plan.files.workdir(), Path::new("work/exp"));
    assert!(plan.files.tracked.contains(&PathBuf::from("lib/a.py")));
}
