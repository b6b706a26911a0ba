//! Placeholders in the texts of `[run]` reach the program of each trial.

use super::world::World;
use std::collections::BTreeSet;

const REPORT: &str = "echo '{\"loss\": 1}' >> \"$SWATH_RECORDS\"\n";

/// Returns a sweep of `trials` trials, with more keys in `[run]`, that ends after a minute.
fn world(trials: u32, keys: &str, script: &str) -> World {
    let world = World::new(
        trials,
        "[limits]\ntime = \"60s\"\n",
        &format!("{script}\n{REPORT}"),
    );
    let text = world.read("s.toml");
    world.write(
        "s.toml",
        &text.replace("[run]\n", &format!("[run]\n{keys}\n")),
    );
    world
}

#[test]
fn each_running_trial_has_a_port_of_its_own() {
    let world = world(
        4,
        "env = { MASTER_PORT = \"{port}\" }",
        "echo $MASTER_PORT $SWATH_PORT\nsleep 0.5",
    );
    let run = world.swath(&["run", "s.toml", "--jobs", "4"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let mut ports = BTreeSet::new();
    for trial in 1..=4 {
        let log = world.read(&format!("logs/s/{trial}/stdout.log"));
        let (mine, variable) = log.trim().split_once(' ').unwrap();
        assert_eq!(mine, variable);
        ports.insert(mine.parse::<u16>().unwrap());
    }
    assert_eq!(ports.len(), 4, "{ports:?}");
}

#[test]
fn environment_workdir_and_data_sets_may_differ_between_trials() {
    let keys = "workdir = \"runs/{trial}\"\ndata_dir = \"data/{trial}\"\n\
                env = { OUT = \"{trial_dir}/out\", JSON = '{\"seed\": {seed}}', NONE = \"{until}\" }";
    let world = world(2, keys, "");
    for trial in 1..=2 {
        std::fs::create_dir_all(world.path(&format!("data/{trial}"))).unwrap();
        world.write(&format!("data/{trial}/x"), &trial.to_string());
    }
    world.write(
        "s.toml",
        &world.read("s.toml").replace(
            "\"train.sh\"",
            &format!("\"{}\"", world.path("train.sh").display()),
        ),
    );
    world.write(
        "train.sh",
        &format!("pwd\necho $OUT\necho $JSON = $SWATH_SEED\necho ${{NONE-unset}}\ncat $SWATH_DATA_DIR/x\n{REPORT}"),
    );
    let run = world.swath(&["run", "s.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let root = world.dir.path().canonicalize().unwrap();
    let root = root.display();
    for trial in 1..=2 {
        let log = world.read(&format!("logs/s/{trial}/stdout.log"));
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[0], format!("{root}/runs/{trial}"));
        assert!(lines[1].ends_with(&format!("/logs/s/{trial}/out")), "{log}");
        let (json, seed) = lines[2].split_once(" = ").unwrap();
        assert_eq!(json, format!("{{\"seed\": {seed}}}"));
        assert_eq!(lines[3..], ["unset", &trial.to_string()]);
        let recorded = world.read(&format!("logs/s/{trial}/metadata/info.yaml"));
        assert!(recorded.contains(&format!("data/{trial}")), "{recorded}");
    }
}

#[test]
fn setup_knows_the_study_and_a_value_of_a_trial_in_it_is_an_error_that_teaches() {
    let known = world(
        1,
        "setup = [\"sh\", \"-c\", \"echo {study} ${HOME} > made\"]",
        "",
    );
    let run = known.run();
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(
        known.read("made").starts_with("s /"),
        "{}",
        known.read("made")
    );
    let unknown = world(1, "setup = [\"sh\", \"prepare.sh\", \"{x}\"]", "");
    let refused = unknown.swath(&["check", "s.toml"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.err.contains("it runs once, before the first trial"),
        "{}",
        refused.err
    );
}

#[test]
fn syntax_of_a_shell_and_misread_switches_draw_warnings() {
    let world = world(1, "env = { OUT = \"$HOME/x\", NAME = \"{stduy}\" }", "");
    world.write(
        "train.py",
        "p.add_argument(\"--amp\", action=argparse.BooleanOptionalAction)\np.add_argument('--fast', type=bool)\n",
    );
    let text = world.read("s.toml").replace(
        "[\"sh\", \"train.sh\", \"{x}\"]",
        "[\"python3\", \"train.py\", \"--out=~/x\", \"--amp={amp}\", \"--fast\", \"{fast}\", \"{x}\"]",
    );
    let space = "[space]\namp = [true, false]\nfast = [true, false]\n";
    world.write("s.toml", &text.replace("[space]\n", space));
    let checked = world.swath(&["check", "s.toml"]);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    for warning in [
        "`$HOME` stays as it is: no shell reads this",
        "write `{env:HOME}`",
        "`{stduy}` in `env.NAME` is no placeholder",
        "did you mean `{study}`?",
        "`~/` stays as it is",
        "pass it as \"{amp:flag}\"",
        "pass it as \"{fast:flag=--fast=1/--fast=}\"",
    ] {
        assert!(checked.err.contains(warning), "{warning}: {}", checked.err);
    }
}

#[test]
fn the_arguments_of_the_best_trial_are_those_that_its_program_takes() {
    let world = world(1, "config = \"base.json\"", "echo \"$@\"\ncat \"$7\"");
    world.write("base.json", "{\"depth\": 1}\n");
    let text = world.read("s.toml");
    let (before, rest) = text.split_once("command = ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let command = "[\"sh\", \"train.sh\", \"--out={trial_dir}/out\", \"{amp:flag}\", \"--units\", \
                   \"{units:each}\", \"--config\", \"{config}\", \"{args:rest}\"]";
    let space = "amp = false\nunits = { value = [64, 32] }\ndepth = 3\n";
    let after = after.replace("[space]\n", &format!("[space]\n{space}"));
    world.write("s.toml", &format!("{before}command = {command}\n{after}"));
    let run = world.swath(&["run", "s.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let printed = world.swath(&["best", "s", "--args"]).out;
    let log = world.read("logs/s/1/stdout.log");
    let (words, copy) = log.split_once('\n').unwrap();
    let (_, given) = words.split_once(' ').unwrap();
    assert_eq!(printed.trim_end(), given);
    assert!(
        given.starts_with("--no-amp --units 64 32 --config /"),
        "{given}"
    );
    assert!(!given.contains("--depth"), "{given}");
    assert_eq!(copy.lines().next(), Some("{\"depth\": 3}"));
}

#[test]
fn verify_sees_a_change_of_a_script_in_a_folder_that_depends_on_a_parameter() {
    let world = world(3, "workdir = \"project-{m}\"", "");
    for model in ["a", "b"] {
        let folder = format!("project-{model}");
        std::fs::create_dir(world.path(&folder)).unwrap();
        world.write(
            &format!("{folder}/train.sh"),
            &format!("# {model}\n{REPORT}"),
        );
    }
    let text = world.read("s.toml");
    let text = text.replace("[space]\n", "[space]\nm = [\"a\", \"b\"]\n");
    world.write("s.toml", &text);
    let run = world.swath(&["run", "s.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let verified = world.swath(&["verify", "s"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.out, verified.err);
    world.write("project-b/train.sh", REPORT);
    let verified = world.swath(&["verify", "s"]);
    assert_eq!(verified.code, Some(6), "{}{}", verified.out, verified.err);
    assert!(
        verified.out.contains("file project-b/train.sh changed"),
        "{}",
        verified.out
    );
}
