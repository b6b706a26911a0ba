//! `[[prepare]]`: work that several trials share runs once, before them.

use super::world::{PATIENCE, Running, World};
use crate::command::Ended;
use std::process::{Command, Stdio};

/// The trial reports the size of what was prepared for it.
const TRAIN: &str = "cat \"$1\"/part > /dev/null || exit 7\n\
    echo \"{\\\"loss\\\": $(wc -c < \"$1\"/part)}\" >> \"$SWATH_RECORDS\"\n";

/// Returns a sweep over a grid of `n` and `x` whose trials run `train.sh` with a prepared folder.
fn world(prepare: &str, more: &str) -> World {
    let world = World::new(1, "", TRAIN);
    world.write(
        "s.toml",
        &format!(
            "[run]\ncommand = [\"sh\", \"train.sh\", \"{{prepare.tokens}}\", \"{{x}}\"]\ngrace = \"5s\"\n\
             data_dir = \"raw\"\n\
             [[prepare]]\nname = \"tokens\"\n\
             command = [\"sh\", \"prepare.sh\", \"{{n}}\", \"{{prepare.tokens}}\"]\n{prepare}\n\
             [objective]\nmetric = \"loss\"\ngoal = \"min\"\n\
             [search]\nsampler = \"grid\"\n[resources]\njobs = 2\n{more}\n\
             [space]\nn = [1, 2]\nx = [0.1, 0.2, 0.3]\n"
        ),
    );
    std::fs::create_dir(world.path("raw")).unwrap();
    world.write("raw/text", "raw");
    world.write(
        "prepare.sh",
        "echo $1 >> runs\nprintf %0$1d 0 > \"$2\"/part\n",
    );
    world
}

fn lines(world: &World, file: &str) -> Vec<String> {
    let mut lines: Vec<_> = world.read(file).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Checks that each trial has read what was prepared for its `n`.
fn assert_each_reads_its_own(world: &World) {
    let numbers = |column: &str| -> Vec<f64> {
        let texts = world.column(column);
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    assert_eq!(numbers("loss"), numbers("param.n"));
}

/// Returns what `swath show s --json` says about the preparations.
fn preparations(world: &World) -> Vec<serde_json::Value> {
    let shown: serde_json::Value =
        serde_json::from_str(&world.swath(&["show", "s", "--json"]).out).unwrap();
    shown["preparations"].as_array().unwrap().clone()
}

/// Runs the sweep to its end, at most as long as a test waits.
fn run(world: &World) -> Ended {
    let seconds = PATIENCE.as_secs().to_string();
    let mut command = world.command(&["run", "s.toml"]);
    let program = command.get_program().to_owned();
    let mut limited = Command::new("timeout");
    limited
        .args(["-s", "KILL", &seconds])
        .arg(program)
        .args(command.get_args());
    limited.current_dir(world.dir.path()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    command = limited;
    Ended::of(command.output().unwrap())
}

/// Waits for the end of a run and returns its exit code.
fn code(world: &World, run: &mut Running) -> Option<i32> {
    let mut code = None;
    world.until("the run ends", || {
        code = run.0.try_wait().unwrap();
        code.is_some()
    });
    code.unwrap().code()
}

fn start(world: &World) -> Running {
    let run = world
        .command(&["run", "s.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Running(run.unwrap())
}

fn signal(run: &Running, name: &str) {
    let words = [name, &run.id().to_string()];
    assert!(Command::new("kill").args(words).status().unwrap().success());
}

#[test]
fn each_assignment_is_prepared_once_and_its_trials_read_it() {
    let world = world("", "");
    let ended = run(&world);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(lines(&world, "runs"), ["1", "2"]);
    assert_eq!(world.column("state"), ["complete"; 6]);
    assert_each_reads_its_own(&world);
    let prepared = preparations(&world);
    assert_eq!(prepared.len(), 2);
    for preparation in &prepared {
        assert_eq!(preparation["state"], "done");
        assert_eq!(preparation["trials"].as_array().unwrap().len(), 3);
        assert_eq!(preparation["output"]["files"], 1);
        let folder = format!(
            "logs/s/prepared/{}",
            preparation["digest"].as_str().unwrap()
        );
        assert!(world.path(&format!("{folder}/output/part")).exists());
        assert!(!world.path(&format!("{folder}/output.partial")).exists());
        // Its parameters are those that it depends on.
        assert!(preparation["params"]["x"].is_null());
        assert!(
            world
                .read(&format!("{folder}/params.json"))
                .contains("\"n\"")
        );
    }
    // The output is an input of the trial, beside the raw data.
    let shown = world.swath(&["show", "s", "1"]).out;
    assert!(shown.contains("prepare.tokens"), "{shown}");
    let replayed = world.swath(&["replay", "s"]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.err);
    // A second run prepares nothing again, also not for further trials.
    world.write("s.toml", &world.read("s.toml").replace("0.3]", "0.3, 0.4]"));
    let again = run(&world);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_eq!(world.column("state").len(), 8);
    assert_eq!(lines(&world, "runs"), ["1", "2"]);
}

#[test]
fn a_preparation_may_report_and_ask_whether_it_may_go_on() {
    let world = world("", "");
    world.write(
        "prepare.sh",
        "swath report rows=3 || exit 8\nswath report --wait rows=4 > \"$2\"/answer || exit 9\n\
         printf %0$1d 0 > \"$2\"/part\n",
    );
    let ended = run(&world);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(world.column("state"), ["complete"; 6]);
    let digest = preparations(&world)[0]["digest"].clone();
    let folder = format!("logs/s/prepared/{}", digest.as_str().unwrap());
    assert_eq!(world.read(&format!("{folder}/output/answer")), "continue\n");
}

#[test]
fn preparations_read_the_outputs_of_others_and_run_again_when_these_are_others() {
    let second = "[[prepare]]\nname = \"index\"\ncommand = [\"sh\", \"index.sh\"]\n";
    let world = world(second, "");
    let sweep = world.read("s.toml");
    let sweep = sweep.replace(
        "\"train.sh\", \"{prepare.tokens}\"",
        "\"train.sh\", \"{prepare.index}\"",
    );
    let command = "[\"sh\", \"index.sh\", \"{prepare.tokens}\", \"{prepare.index}\"]";
    world.write("s.toml", &sweep.replace("[\"sh\", \"index.sh\"]", command));
    world.write(
        "index.sh",
        "echo x >> indexed\ncat \"$1\"/part > \"$2\"/part\n",
    );
    let ended = run(&world);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(lines(&world, "indexed").len(), 2);
    assert_each_reads_its_own(&world);
    let prepared = preparations(&world);
    let index = prepared.iter().find(|it| it["name"] == "index").unwrap();
    assert_eq!(index["inputs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_preparation_that_was_killed_with_its_run_starts_again_and_its_half_is_never_read() {
    let world = world("", "");
    let sweep = world.read("s.toml");
    world.write("s.toml", &sweep.replace("jobs = 2", "jobs = 4"));
    world.write(
        "prepare.sh",
        "echo $$ > pid$1\nprintf junk > \"$2\"/part\n[ -e go ] || sleep 600\n\
         [ -e \"$2\"/junk ] && exit 9\nprintf %0$1d 0 > \"$2\"/part\ntouch \"$2\"/junk\n",
    );
    let mut running = start(&world);
    world.until("both are prepared", || {
        !world.read("pid1").is_empty() && !world.read("pid2").is_empty()
    });
    signal(&running, "-KILL");
    code(&world, &mut running);
    let is_alive = |file: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", world.read(file).trim()));
        stat.is_ok_and(|stat| {
            !stat
                .rsplit_once(')')
                .unwrap()
                .1
                .trim()
                .starts_with(['Z', 'X'])
        })
    };
    world.until("its processes end with it", || {
        !is_alive("pid1") && !is_alive("pid2")
    });
    world.write("go", "");
    let again = run(&world);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_each_reads_its_own(&world);
    let prepared = preparations(&world);
    assert!(
        prepared.iter().all(|it| it["attempts"] == 2),
        "{prepared:?}"
    );
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
    assert_eq!(world.swath(&["doctor", "s"]).code, Some(0));
}

#[test]
fn an_interrupted_run_ends_its_preparations_and_the_next_one_starts_them_again() {
    let world = world("", "");
    let wait = "[ -e go ] || { echo $$ > pid; sleep 600 & wait; }\n";
    let script = world.read("prepare.sh");
    world.write("prepare.sh", &(wait.to_owned() + &script));
    let mut running = start(&world);
    world.until("it is prepared", || !world.read("pid").is_empty());
    signal(&running, "-INT");
    assert_eq!(code(&world, &mut running), Some(130));
    assert!(
        preparations(&world)
            .iter()
            .all(|it| it["state"] == "waiting")
    );
    world.write("go", "");
    assert_eq!(run(&world).code, Some(0));
    assert_eq!(lines(&world, "runs"), ["1", "2"]);
}

#[test]
fn a_failed_preparation_fails_only_the_trials_that_need_it_and_names_its_log() {
    let world = world("", "[limits]\nquick_failures = 0\n");
    let fail = "[ $1 = 2 ] && [ ! -e good ] && { echo no such corpus >&2; exit 3; }\n";
    let script = world.read("prepare.sh");
    world.write("prepare.sh", &(fail.to_owned() + &script));
    let ended = run(&world);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let states: Vec<_> = world
        .column("param.n")
        .into_iter()
        .zip(world.column("state"))
        .collect();
    for (n, state) in &states {
        let expected = if n == "1" { "complete" } else { "failed" };
        assert_eq!(state, expected, "{states:?}");
    }
    assert!(ended.err.contains("no such corpus"), "{}", ended.err);
    let failed = (states.iter().position(|(n, _)| n == "2").unwrap() + 1).to_string();
    let why = world.swath(&["show", "s", &failed]).out;
    let digest = preparations(&world)[1]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let log = format!("logs/s/prepared/{digest}/stderr.log");
    assert!(
        why.contains("its preparation `tokens` failed") && why.contains(&log),
        "{why}"
    );
    assert_eq!(world.read(&log), "no such corpus\n");
    // The next run tries it again.
    world.write("good", "");
    assert_eq!(world.swath(&["retry", "s", "failed"]).code, Some(0));
    let again = run(&world);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_eq!(world.column("state"), ["complete"; 6]);
}

#[test]
fn a_failed_preparation_is_retried_as_trials_are() {
    let world = world("", "[retry]\ntimes = 1\n");
    let fail = "[ -e tried$1 ] || { touch tried$1; exit 3; }\n";
    let script = world.read("prepare.sh");
    world.write("prepare.sh", &(fail.to_owned() + &script));
    let ended = run(&world);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(world.column("state"), ["complete"; 6]);
    assert!(preparations(&world).iter().all(|it| it["attempts"] == 2));
}

#[test]
fn a_sweep_whose_preparation_always_fails_ends_and_waits() {
    let world = world("", "[limits]\nquick_failures = 2\n");
    world.write("prepare.sh", "exit 3\n");
    let ended = run(&world);
    assert_ne!(ended.code, Some(0), "{}", ended.err);
    assert!(
        !world.path("logs/s/1/stdout.log").exists(),
        "no trial has started"
    );
    world.write("prepare.sh", "printf %0$1d 0 > \"$2\"/part\n");
    let again = run(&world);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_eq!(world.column("state"), ["complete"; 6]);
}

#[test]
fn a_preparation_has_a_time_limit_of_its_own() {
    let world = world("time = \"1s\"\n", "[limits]\nquick_failures = 0\n");
    let script = world.read("prepare.sh");
    world.write("prepare.sh", &format!("[ $1 = 2 ] && sleep 600\n{script}"));
    let ended = run(&world);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("ran longer than 1 s"), "{}", ended.err);
}

#[test]
fn trials_run_while_others_wait_for_their_preparation() {
    let world = world("", "");
    let script = world.read("prepare.sh");
    world.write(
        "prepare.sh",
        &format!("[ $1 = 2 ] && until [ -e go ]; do sleep 0.05; done\n{script}"),
    );
    let mut running = start(&world);
    world.until("a trial is complete", || {
        let shown = world.swath(&["ls", "s", "--json"]).out;
        shown.contains("\"complete\"")
    });
    world.write("go", "");
    assert_eq!(code(&world, &mut running), Some(0));
    assert_eq!(world.column("state"), ["complete"; 6]);
}

#[test]
fn a_deleted_output_is_made_again_when_a_trial_needs_it() {
    let world = world("", "");
    assert_eq!(run(&world).code, Some(0));
    let kept = world.swath(&["gc", "s"]);
    assert_eq!(kept.code, Some(0));
    assert!(
        world
            .swath(&["doctor", "s"])
            .out
            .contains("2 outputs, all there")
    );
    let freed = world.swath(&["gc", "s", "--prepared"]);
    assert_eq!(freed.code, Some(0), "{}", freed.err);
    assert_eq!(
        freed.out.matches("the output of a preparation").count(),
        2,
        "{}",
        freed.out
    );
    let doctor = world.swath(&["doctor", "s"]);
    assert!(doctor.out.contains("was deleted"), "{}", doctor.out);
    assert!(world.swath(&["show", "s"]).out.contains("output deleted"));
    world.write("s.toml", &world.read("s.toml").replace("0.3]", "0.3, 0.4]"));
    let again = run(&world);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_each_reads_its_own(&world);
    assert_eq!(lines(&world, "runs"), ["1", "1", "2", "2"]);
}

#[test]
fn logs_prints_those_of_the_preparations_of_a_name() {
    let world = world("", "");
    let script = "echo preparing $1\nprintf %0$1d 0 > \"$2\"/part\n";
    world.write("prepare.sh", script);
    assert_eq!(run(&world).code, Some(0));
    let all = world.swath(&["logs", "s", "--prepare", "tokens", "--stdout"]);
    assert_eq!(all.out, "preparing 1\npreparing 2\n");
    assert!(all.err.contains("logs/s/prepared/"), "{}", all.err);
    // Trial 1 reads one of the two.
    let of_trial = world.swath(&["logs", "s", "1", "--prepare", "tokens", "--follow"]);
    assert_eq!(of_trial.out, "preparing 1\n");
    let unknown = world.swath(&["logs", "s", "--prepare", "token"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.err.contains("the study has tokens"),
        "{}",
        unknown.err
    );
}

#[test]
fn plan_and_check_show_what_is_prepared() {
    let world = world("", "");
    let checked = world.swath(&["check", "s.toml"]);
    assert!(
        checked.out.contains("tokens, once for each n"),
        "{}",
        checked.out
    );
    assert!(checked.err.is_empty(), "{}", checked.err);
    let plan = world.swath(&["plan", "s.toml", "-n", "6"]);
    assert_eq!(
        plan.out.matches("prepare tokens").count(),
        2,
        "{}",
        plan.out
    );
    assert!(plan.out.contains("/logs/s/prepared/"), "{}", plan.out);
}
