//! Samplers and schedulers that are programs: the examples, whole and replayed, and programs that
//! fail in every way.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::fs;
use std::path::Path;

/// A study folder with a training program and a sweep file.
struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        world.write(
            "train.py",
            "import json, os, sys\n\
             x, y = float(sys.argv[1]), float(sys.argv[2])\n\
             with open(os.environ['SWATH_RECORDS'], 'a', buffering=1) as out:\n\
             \x20   for epoch in range(1, 4):\n\
             \x20       loss = 0.01 + (x - 1) ** 2 + (y + 2) ** 2 + 1 / epoch\n\
             \x20       print(json.dumps({'epoch': epoch, 'loss': loss}), file=out)\n",
        );
        world
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    /// Writes a sweep file of eight trials with further sections.
    fn sweep(&self, sections: &str) {
        self.write(
            "sweep.toml",
            &format!(
                "[run]\ncommand = ['python3', 'train.py', '{{x}}', '{{y}}']\n\
                 [objective]\nmetric = 'loss'\ngoal = 'min'\n\
                 [resources]\njobs = 1\n\
                 [space]\nx = {{ min = -3.0, max = 3.0 }}\ny = {{ min = -3.0, max = 3.0 }}\n\
                 {sections}"
            ),
        );
    }

    /// Returns the exit code, standard output and standard error of a command.
    fn swath(&self, arguments: &[&str]) -> (i32, String, String) {
        crate::command::swath(self.0.path(), arguments)
    }

    /// Returns the events of the journal that have this name, with their content.
    fn events(&self, name: &str) -> Vec<Value> {
        let journal = fs::read_to_string(self.0.path().join("logs/sweep/journal.jsonl")).unwrap();
        let entries = journal
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries
            .filter_map(|entry| entry["event"].get(name).cloned())
            .collect()
    }
}

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
        .display()
        .to_string()
}

/// Returns a sampler whose answer to each request is computed by a Python expression over `trial`.
fn sampler(answer: &str) -> String {
    format!(
        "import json, sys, time\n\
         sys.stdin.readline()\n\
         print('{{\"protocol\": 1}}', flush=True)\n\
         for line in sys.stdin:\n\
         \x20   message = json.loads(line)\n\
         \x20   if 'suggest' in message:\n\
         \x20       trial = message['suggest']['trial']\n\
         \x20       print({answer}, flush=True)\n"
    )
}

const FIXED: &str = "json.dumps({'params': {'x': trial / 10, 'y': 0}})";

#[test]
fn the_examples_search_stop_and_replay_bit_for_bit() {
    let world = World::new();
    let sections = |trials: u32| {
        format!(
            "[search]\nsampler = 'program'\ntrials = {trials}\n\
             [search.program]\ncommand = ['python3', '{}']\n\
             [scheduler]\nname = 'program'\nresource = 'epoch'\n\
             command = ['python3', '{}', '2.0']\n",
            example("sampler.py"),
            example("scheduler.py")
        )
    };
    world.sweep(&sections(12));
    assert_eq!(world.swath(&["run", "sweep.toml", "-q"]).0, 0);
    // A second run tells new programs the history again, and goes on from there.
    world.sweep(&sections(25));
    let (code, planned, stderr) = world.swath(&["plan", "sweep.toml", "-n1", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(world.swath(&["run", "sweep.toml", "-q"]).0, 0);
    let created = world.events("created");
    assert_eq!(created.len(), 25);
    let planned: Value = serde_json::from_str(&planned).unwrap();
    assert_eq!(planned["trials"][0]["params"], created[12]["params"]);
    let judged = world.events("judged");
    assert!(!judged.is_empty());
    let reasons = judged.iter().map(|judged| judged["why"].as_str().unwrap());
    assert!(
        reasons
            .clone()
            .all(|why| why.contains("the best so far is")),
        "{judged:?}"
    );
    let (code, replayed, stderr) = world.swath(&["replay", "sweep"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{replayed}");
    assert!(replayed.starts_with("25 of 25 proposals"), "{replayed}");
}

#[test]
fn each_failure_of_a_sampler_ends_the_run_in_order_and_the_next_run_goes_on() {
    let world = World::new();
    let from_trial_3 = |answer: &str| sampler(&format!("{FIXED} if trial < 3 else {answer}"));
    let cases = [
        (
            "import nothing_of_that_name\n".to_owned(),
            "ended with exit status: 1: ModuleNotFoundError",
        ),
        (
            "print('{\"protocol\": 2}')\n".to_owned(),
            "answered the first line with `{\"protocol\":2}`",
        ),
        (
            from_trial_3("sys.exit('no idea')"),
            "ended with exit status: 1: no idea",
        ),
        (
            from_trial_3("'rubbish'"),
            "answered `rubbish`, which is not a line of JSON",
        ),
        (
            from_trial_3("'[1]'"),
            "an answer to `suggest` has one of `params`",
        ),
        (from_trial_3("time.sleep(60)"), "gave no answer within 1s"),
        (
            from_trial_3("'{\"unit\": [0.5]}'"),
            "`unit` has 1 numbers instead of 2",
        ),
        (
            from_trial_3("'{\"unit\": [0.5, 1.5]}'"),
            "`unit` contains 1.5, which is no number from 0 to 1",
        ),
        (
            from_trial_3("'{\"params\": {\"x\": 9, \"y\": 0}}'"),
            "`x` = 9 is outside its range, from -3 to 3",
        ),
        (from_trial_3("'{\"params\": {\"x\": 1}}'"), "`y` is missing"),
        (
            from_trial_3("'{\"params\": {\"x\": 1, \"z\": 1}}'"),
            "the space has no parameter `z`",
        ),
    ];
    for (program, reason) in cases {
        let timeout = if program.contains("sleep") {
            "1s"
        } else {
            "1m"
        };
        let sections = format!(
            "[search]\nsampler = 'program'\ntrials = 4\n\
             [search.program]\ncommand = ['python3', 'sampler.py']\ntimeout = '{timeout}'\n"
        );
        let _ = fs::remove_dir_all(world.0.path().join("logs"));
        world.write("sampler.py", &program);
        world.sweep(&sections);
        let (code, _, stderr) = world.swath(&["run", "sweep.toml"]);
        assert_eq!(code, 1, "{reason}: {stderr}");
        assert!(
            stderr.contains("the program of the sampler, `python3`,"),
            "{stderr}"
        );
        assert!(stderr.contains(reason), "{reason}: {stderr}");
        assert!(
            stderr.contains("nothing that was recorded is lost"),
            "{stderr}"
        );
        let complete = world.events("ended").len();
        assert_eq!(
            complete,
            if program.contains("trial < 3") { 2 } else { 0 },
            "{reason}"
        );
        assert_eq!(world.events("closed")[0]["why"], "search_failed");
        let (code, _, stderr) = world.swath(&["plan", "sweep.toml"]);
        assert!(code == 1 && stderr.contains(reason), "{stderr}");
        world.write("sampler.py", &sampler(FIXED));
        let (code, _, stderr) = world.swath(&["run", "sweep.toml", "-q"]);
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(world.events("ended").len(), 4, "{reason}");
    }
}

#[test]
fn a_missing_program_is_an_error_only_where_a_decision_is_needed() {
    let world = World::new();
    world.write("sampler.py", &sampler(FIXED));
    let sections = |trials: u32| {
        format!(
            "[search]\nsampler = 'program'\ntrials = {trials}\n\
             [search.program]\ncommand = ['python3', 'sampler.py']\n"
        )
    };
    world.sweep(&sections(2));
    assert_eq!(world.swath(&["run", "sweep.toml", "-q"]).0, 0);
    let command = "[search.program]\ncommand = ['./absent']\n";
    world.sweep(&format!(
        "[search]\nsampler = 'program'\ntrials = 2\n{command}"
    ));
    let (code, _, stderr) = world.swath(&["run", "sweep.toml"]);
    assert_eq!(code, 0, "{stderr}");
    world.sweep(&format!(
        "[search]\nsampler = 'program'\ntrials = 3\n{command}"
    ));
    let (code, _, stderr) = world.swath(&["run", "sweep.toml"]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("`./absent`, could not be started: No such file"),
        "{stderr}"
    );
}

#[test]
fn a_constraint_that_refuses_a_point_asks_for_another_one() {
    let world = World::new();
    let answer = "json.dumps({'unit': [0.1 + 0.3 * message['suggest']['try'], 0.5]})";
    world.write("sampler.py", &sampler(answer));
    world.sweep(
        "[constraints]\nright = 'x > 0.5'\n[search]\nsampler = 'program'\ntrials = 1\n\
         [search.program]\ncommand = ['python3', 'sampler.py']\n",
    );
    assert_eq!(world.swath(&["run", "sweep.toml", "-q"]).0, 0);
    let x = world.events("created")[0]["params"]["x"].as_f64().unwrap();
    assert!((x - 1.2).abs() < 1e-9, "{x}");
    world.write("sampler.py", &sampler("json.dumps({'unit': [0.1, 0.5]})"));
    let _ = fs::remove_dir_all(world.0.path().join("logs"));
    let (code, _, stderr) = world.swath(&["run", "sweep.toml"]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("proposed 100 configurations for trial 1"),
        "{stderr}"
    );
}

#[test]
fn a_program_that_answers_next_pauses_trials_and_resumes_them() {
    let world = World::new();
    world.write(
        "scheduler.py",
        "import json, sys\n\
         sys.stdin.readline()\n\
         say = lambda answer: print(json.dumps(answer), flush=True)\n\
         say({'protocol': 1, 'next': True})\n\
         trials = {}\n\
         for line in sys.stdin:\n\
         \x20   message = json.loads(line)\n\
         \x20   for trial in message.get('trials', []):\n\
         \x20       trials[trial['id']] = trial\n\
         \x20   if 'judge' in message:\n\
         \x20       if message['judge']['id'] == 1 and len(trials) == 1 and message['judge']['step'] == 1:\n\
         \x20           say({'verdict': 'pause', 'why': 'later'})\n\
         \x20       else:\n\
         \x20           say({'verdict': 'continue'})\n\
         \x20   if 'next' in message:\n\
         \x20       paused = [id for id in trials if trials[id]['state'] == 'paused']\n\
         \x20       if message['next']['room']:\n\
         \x20           say({'next': 'new'})\n\
         \x20       else:\n\
         \x20           say({'resume': paused[0], 'why': 'now'} if paused else {'next': 'wait'})\n",
    );
    world.write(
        "train.py",
        "import json, os, sys, time\n\
         with open(os.environ['SWATH_RECORDS'], 'a', buffering=1) as out:\n\
         \x20   for epoch in range(1, 4):\n\
         \x20       print(json.dumps({'epoch': epoch, 'loss': 1}), file=out)\n\
         \x20       if not os.path.exists('paused'):\n\
         \x20           open('paused', 'w').close()\n\
         \x20           time.sleep(60)\n",
    );
    world.sweep(
        "[search]\nsampler = 'random'\ntrials = 2\n\
         [scheduler]\nname = 'program'\nresource = 'epoch'\ncommand = ['python3', 'scheduler.py']\n",
    );
    let (code, _, stderr) = world.swath(&["run", "sweep.toml"]);
    assert_eq!(code, 0, "{stderr}");
    let reasons: Vec<_> = world
        .events("judged")
        .iter()
        .map(|judged| (judged["trial"].clone(), judged["why"].clone()))
        .collect();
    assert_eq!(
        reasons,
        [(1.into(), "later".into()), (1.into(), "now".into())]
    );
    assert_eq!(world.events("started").len(), 3);
}

#[test]
fn a_verdict_that_cannot_be_carried_out_is_an_error_that_costs_no_report() {
    let world = World::new();
    let cases = [
        (
            "{\"verdict\": \"pause\", \"why\": \"later\"}",
            "a program that pauses trials answers `next` too",
        ),
        ("{\"verdict\": \"stop\"}", "the decision needs a reason"),
        (
            "{\"verdict\": \"maybe\"}",
            "`verdict` is one of continue, pause, stop and complete",
        ),
    ];
    for (answer, reason) in cases {
        let _ = fs::remove_dir_all(world.0.path().join("logs"));
        world.write(
            "scheduler.py",
            &format!(
                "import sys\nsys.stdin.readline()\nprint('{{\"protocol\": 1}}', flush=True)\n\
                 for line in sys.stdin:\n\
                 \x20   if line.startswith('{{\"judge\"'):\n\
                 \x20       print('{answer}', flush=True)\n"
            ),
        );
        world.sweep(
            "[search]\nsampler = 'random'\ntrials = 2\n\
             [scheduler]\nname = 'program'\nresource = 'epoch'\ncommand = ['python3', 'scheduler.py']\n",
        );
        let (code, _, stderr) = world.swath(&["run", "sweep.toml"]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(reason), "{stderr}");
        // The trial that was judged ran to its own end.
        assert_eq!(world.events("logged").len(), 3);
        assert_eq!(world.events("ended")[0]["exit"], "done");
    }
}

#[test]
fn a_table_without_a_command_is_refused_with_an_example() {
    let world = World::new();
    world.sweep("[search]\nsampler = 'program'\ntrials = 1\n");
    let (code, _, stderr) = world.swath(&["check", "sweep.toml"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("the sampler `program` needs a `command`"),
        "{stderr}"
    );
}
