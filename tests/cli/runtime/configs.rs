//! Each trial of a program that reads a configuration file gets its own copy of the file.

use super::world::World;

const BASE: &str = "# the settings\nx: 0.5   # the rate\nname: kept\n";

/// The program copies its settings to its output, and reports `x`.
const PROGRAM: &str = "cat \"$1\"\n\
    echo \"{\\\"loss\\\": $(sed -n 's/^x: *\\([0-9.]*\\).*/\\1/p' \"$1\")}\" >> \"$SWATH_RECORDS\"\n";

fn world(trials: u32, keys: &str, program: &str) -> World {
    let world = World::new(trials, "[limits]\ntime = \"60s\"\n", program);
    let text = world.read("s.toml").replace(
        "[run]\ncommand = [\"sh\", \"train.sh\", \"{x}\"]",
        &format!("[run]\nconfig = \"base.yaml\"\ncommand = [\"sh\", \"train.sh\", \"{{config}}\"]\n{keys}"),
    );
    world.write("s.toml", &text);
    world.write("base.yaml", BASE);
    world
}

#[test]
fn each_trial_gets_a_copy_with_its_own_values_and_repro_the_copy_of_its_trial() {
    let world = world(2, "", PROGRAM);
    let run = world.run();
    assert_eq!(run.code, Some(0), "{}", run.err);
    let (values, losses) = (world.column("param.x"), world.column("loss"));
    for (trial, value) in (1..).zip(&values) {
        let copy = world.read(&format!("logs/s/{trial}/config/base.yaml"));
        assert_eq!(copy, BASE.replace("0.5", value));
        assert_eq!(world.read(&format!("logs/s/{trial}/stdout.log")), copy);
    }
    assert_eq!(values, losses);
    assert_eq!(world.swath(&["verify", "s"]).code, Some(0));
    world.write("base.yaml", "x: 1.0\n");
    let drift = world.swath(&["verify", "s"]);
    assert!(
        drift.code == Some(6) && drift.out.contains("base.yaml"),
        "{}",
        drift.out
    );
    let repro = world.swath(&["repro", "s", "1"]);
    assert_eq!(repro.code, Some(0), "{}{}", repro.out, repro.err);
    assert_eq!(
        world.read("logs/s-repro-1/1/config/base.yaml"),
        world.read("logs/s/1/config/base.yaml")
    );
}

#[test]
fn a_path_that_the_file_lacks_is_refused_before_the_first_trial() {
    let world = world(1, "", PROGRAM);
    world.write("base.yaml", "model:\n  x: 1\n");
    for command in [["check", "s.toml"], ["run", "s.toml"], ["plan", "s.toml"]] {
        let refused = world.swath(&command);
        assert_eq!(refused.code, Some(2), "{command:?}");
        assert!(
            refused.err.contains("`x` is not in `base.yaml`")
                && refused.err.contains("did you mean `model.x`?"),
            "{}",
            refused.err
        );
    }
}

#[test]
fn an_attempt_that_resumes_reads_the_copy_that_its_trial_began_with() {
    let program = "cat \"$1\"\n[ -n \"$SWATH_RESUME\" ] && \
        { echo '{\"loss\": 1}' >> \"$SWATH_RECORDS\"; exit 0; }\n\
        echo '{\"kind\": \"checkpoint\", \"step\": 7}' >> \"$SWATH_RECORDS\"\n\
        echo 1 > \"$SWATH_CHECKPOINT_DIR/last\"\nexit 1\n";
    let world = world(
        1,
        "checkpoint = true\nenv = { STEP = \"{resume_step}\" }",
        program,
    );
    assert_eq!(world.run().code, Some(3));
    let first = world.read("logs/s/1/config/base.yaml");
    world.write("base.yaml", "x: 0.1\nname: changed\n");
    world.write(
        "train.sh",
        &format!("echo step $STEP $SWATH_RESUME_STEP\n{program}"),
    );
    let retried = world.swath(&["retry", "s"]);
    assert_eq!(retried.code, Some(0), "{}", retried.err);
    let resumed = world.run();
    assert_eq!(resumed.code, Some(0), "{}", resumed.err);
    assert_eq!(world.read("logs/s/1/config/base.yaml"), first);
    let log = world.read("logs/s/1/stdout.log");
    assert!(log.contains("step 7 7\n"), "{log}");
}
