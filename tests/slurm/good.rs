//! Regular operation on a cluster.

use super::world::{World, cluster, has};
use super::{QUICK, SHORT, STEPS, slurm};
use std::time::{Duration, Instant};
use swath::study::{Event, Exit, Failure, Study, Timestamp, TrialState, Verdict};

#[test]
fn the_quickstart_with_asha_runs_on_two_nodes_of_sixteen_cores() {
    let Some(_) = cluster() else { return };
    let world = World::empty("quickstart");
    let root = env!("CARGO_MANIFEST_DIR");
    for name in ["data", "examples"] {
        std::os::unix::fs::symlink(format!("{root}/{name}"), world.path(name)).unwrap();
    }
    let text = std::fs::read_to_string(format!("{root}/sweeps/quickstart.toml")).unwrap();
    let text = text.replace(
        "[space]",
        "[scheduler]\nname = \"asha\"\nresource = \"epoch\"\nmin = 5\nmax = 20\nreduction = 2\n\n[space]",
    );
    let text = text.replace(
        "[resources]\n",
        &format!("{}cpus = 16\npilots = 2\n\n[resources]\n", slurm("")),
    );
    world.sweep(&text);
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    let study = world.study();
    assert_eq!(study.trials().len(), 24);
    assert!(
        study
            .trials()
            .iter()
            .all(|trial| trial.state.is_final() || trial.state == TrialState::Paused)
    );
    assert!(study.counts().complete > 0 && study.running_count() == 0);
    let hosts: std::collections::BTreeSet<_> = study
        .trials()
        .iter()
        .filter_map(|trial| Some(trial.place.as_ref()?.host.clone()))
        .collect();
    assert_eq!(hosts.into_iter().collect::<Vec<_>>(), ["n1", "n2"]);
    world.assert_no_job_is_left();
}

#[test]
fn five_hundred_short_trials_end_exactly_once() {
    let Some(_) = cluster() else { return };
    let world = World::new("short", SHORT, 500, &slurm("pilots = 2\nslots = 8"));
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    world.assert_all_complete(500);
    assert_eq!(world.ends().len(), 500, "{output}");
    world.assert_no_job_is_left();
}

#[test]
fn a_job_can_be_for_one_trial_only() {
    let Some(_) = cluster() else { return };
    let world = World::new("single", SHORT, 4, &slurm("pilots = 2\ntrials_per_job = 1"));
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    world.assert_all_complete(4);
    let journals = std::fs::read_dir(world.dir().root().join("pilots")).unwrap();
    let pilots = journals
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".log"))
        .count();
    assert_eq!(pilots, 4, "{output}");
}

#[test]
fn a_walltime_of_a_minute_drains_and_loses_nothing() {
    let Some(_) = cluster() else { return };
    let trial = format!("sleep 5\n{SHORT}");
    let world = World::new(
        "walltime",
        &trial,
        36,
        &slurm("slots = 3\npilots = 1\nwalltime = \"1m\""),
    );
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    world.assert_all_complete(36);
    assert!(world.notes("submitted") >= 2, "{output}");
    // No trial ran that could not finish within the walltime. A trial that the pilot gave back at
    // once, because its job had become too short while the order was on its way, lost nothing.
    let study = world.study();
    let ran: Vec<_> = study.trials().iter().map(|trial| trial.seconds).collect();
    assert!(
        ran.iter().all(|seconds| *seconds < 8.0),
        "{ran:?}\n{output}"
    );
}

#[test]
fn a_trial_longer_than_its_job_goes_on_from_its_checkpoint_in_the_next() {
    let Some(_) = cluster() else { return };
    let trial = STEPS.replace("sleep 0.1", "sleep 2");
    let world = World::new("long", &trial, 1, &slurm("walltime = \"1m\""));
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    world.assert_all_complete(1);
    let study = world.study();
    let trial = &study.trials()[0];
    assert!(
        trial.attempts >= 2 && (40..=42).contains(&trial.reports),
        "{} {}\n{output}",
        trial.attempts,
        trial.reports
    );
}

#[test]
fn no_gpu_is_used_by_two_trials_at_a_time() {
    if !has("gpus") {
        return;
    }
    let trial = format!(
        "mkdir \"gpu-$CUDA_VISIBLE_DEVICES\" || exit 1\nsleep 0.3\nrmdir \"gpu-$CUDA_VISIBLE_DEVICES\"\necho $CUDA_VISIBLE_DEVICES >> seen\n{SHORT}"
    );
    let world = World::new(
        "gpus",
        &trial,
        12,
        &slurm("pilots = 2\ngpus = 1\nslots = 1\nextra = [\"-w\", \"n1\"]"),
    );
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    world.assert_all_complete(12);
    let seen = std::fs::read_to_string(world.path("seen")).unwrap();
    let seen: std::collections::BTreeSet<_> = seen.lines().collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["0", "1"]);
}

/// Returns the events that must be the same on every executor: all but `Opened` and `Placed`,
/// without resource use.
fn course(world: &World) -> Vec<Event> {
    let entries = swath::journal::Journal::open(&world.dir()).unwrap();
    let events = entries.map(|entry| entry.unwrap().event);
    let mut course: Vec<_> = events
        .filter(|event| !matches!(event, Event::Opened { .. } | Event::Placed { .. }))
        .collect();
    for event in &mut course {
        if let Event::Ended { usage, .. } = event {
            *usage = swath::study::Usage::default();
        }
    }
    course
}

#[test]
fn one_slot_makes_the_same_study_as_the_local_pool() {
    let Some(_) = cluster() else { return };
    let [local, cluster] = ["", &slurm("")].map(|executor| {
        let world = World::empty("same");
        let script = "#!/bin/sh\nfor e in 1 2 3 4; do echo \"{\\\"epoch\\\": $e, \\\"loss\\\": $(echo \"$1 $e\" | awk '{print ($1 - 0.3) ^ 2 + 1 / $2}')}\" >> \"$SWATH_RECORDS\"; done\n";
        std::fs::write(world.path("trial.sh"), script).unwrap();
        world.sweep(&format!(
            "name = \"same\"\nseed = 3\n[run]\ncommand = [\"sh\", \"trial.sh\", \"{{x}}\"]\n[objective]\nmetric = \"loss\"\ngoal = \"min\"\n\
             [search]\nsampler = \"tpe\"\ntrials = 25\n[resources]\njobs = 1\n[space]\nx = {{ min = 0.0, max = 1.0 }}\n{executor}"
        ));
        let (code, output) = world.run();
        assert_eq!(code, 0, "{output}");
        course(&world)
    });
    assert_eq!(local, cluster);
}

#[test]
fn slurm_can_be_driven_by_a_template_too() {
    let Some(_) = cluster() else { return };
    let executor = format!(
        "[executor]\nname = \"command\"\ntemplate = \"slurm\"\n{QUICK}pilots = 2\nslots = 2\ntrials_per_job = 5\n"
    );
    let world = World::new("template", SHORT, 20, &executor);
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    world.assert_all_complete(20);
    world.assert_no_job_is_left();
}

/// Returns the time from `start` until `has_happened` returns `true`.
fn took(start: Instant, mut has_happened: impl FnMut() -> bool) -> Duration {
    while !has_happened() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "it never happened"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

#[test]
fn a_stop_reaches_a_trial_within_five_seconds() {
    let Some(_) = cluster() else { return };
    let world = World::new("stop", "touch began\nexec sleep 100", 1, &slurm(""));
    let run = world.start();
    world.until("the trial runs", |study: &Study| study.running_count() == 1);
    took(Instant::now(), || world.path("began").exists());
    // Wait long enough that both sides have slowed down their polling.
    std::thread::sleep(Duration::from_secs(4));
    let begun = Instant::now();
    let status = world.swath(&["stop", "stop"]).status().unwrap();
    assert!(status.success());
    let took = took(begun, || {
        world.ends().iter().any(|(trial, ..)| trial.0 == 1)
    });
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(run.wait(), 130, "{}", world.output());
    world.assert_no_job_is_left();
}

#[test]
fn the_trials_of_one_job_use_different_gpus() {
    if !has("gpus") {
        return;
    }
    let trial = format!(
        "mkdir \"gpu-$CUDA_VISIBLE_DEVICES\" || exit 1\nsleep 0.3\nrmdir \"gpu-$CUDA_VISIBLE_DEVICES\"\necho $CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS >> seen\n{SHORT}"
    );
    let world = World::with(
        "shares",
        &trial,
        12,
        &slurm("gpus = 2"),
        "[resources]\ngpus = 1\ncpus = 3\n",
    );
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    world.assert_all_complete(12);
    let seen = std::fs::read_to_string(world.path("seen")).unwrap();
    let seen: std::collections::BTreeSet<_> = seen.lines().collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["0 3", "1 3"]);
}

#[test]
fn a_trial_in_a_job_that_exceeds_its_memory_is_ended() {
    let Some(_) = cluster() else { return };
    let trial = "exec awk 'BEGIN { s = \"0123456789abcdef\"; while (length(s) < 200000000) s = s s; while (1) { } }'";
    let world = World::with(
        "memory",
        trial,
        1,
        &slurm(""),
        "[resources]\nmemory = \"64 MiB\"\n",
    );
    let (code, output) = world.run();
    assert_eq!(code, 3, "{output}");
    assert_eq!(world.ends()[0].2, Exit::Failed(Failure::Memory), "{output}");
}

#[test]
fn a_run_in_the_background_ends_like_any_other() {
    let Some(_) = cluster() else { return };
    let world = World::new(
        "detached",
        &format!("sleep 2\n{SHORT}"),
        6,
        &slurm("slots = 3"),
    );
    let output = world
        .swath(&["run", "--detach", "sweep.toml"])
        .output()
        .unwrap();
    let (code, output) = super::world::code_and_output(&output);
    assert_eq!(code, 0, "{output}");
    assert!(
        output.contains("running in the background as process"),
        "{output}"
    );
    world.until("all trials are complete", |study| {
        study.counts().complete == 6
    });
    world.assert_all_complete(6);
    world.assert_no_job_is_left();
    let log = std::fs::read_to_string(world.dir().root().join("run.log")).unwrap();
    assert!(log.contains("submitted 1 pilot"), "{log}");
}

#[test]
fn a_scheduler_stops_a_hopeless_trial_in_a_job_within_five_seconds() {
    let Some(_) = cluster() else { return };
    // The first trial is quick and best, so the others are hopeless once it is complete.
    let trial = "pause=3\n[ \"$n\" = 1 ] && pause=0.1\ne=0\nwhile [ \"$e\" -lt 9 ]; do e=$((e + 1)); echo \"{\\\"epoch\\\": $e, \\\"loss\\\": $n}\" >> \"$SWATH_RECORDS\"; sleep $pause; done";
    let median = "[scheduler]\nname = \"median\"\nresource = \"epoch\"\npeers = 1\n";
    let world = World::with("hopeless", trial, 8, &slurm("slots = 8"), median);
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    assert_eq!(world.study().counts().stopped, 7, "{output}");
    let mut judged = std::collections::BTreeMap::new();
    let mut late = Vec::new();
    for entry in swath::journal::Journal::open(&world.dir()).unwrap() {
        let entry = entry.unwrap();
        match entry.event {
            Event::Judged {
                trial,
                verdict: Verdict::Stop,
                ..
            } => drop(judged.insert(trial, entry.at)),
            Event::Ended {
                trial,
                exit: Exit::Stopped,
                ..
            } => late.push(entry.at.since(judged[&trial])),
            _ => {}
        }
    }
    assert!(
        !late.is_empty() && late.iter().all(|took| *took < Duration::from_secs(5)),
        "{late:?}"
    );
}

/// Returns what `swath why` prints about a trial of the study `away`.
fn why(world: &World, trial: u32) -> String {
    let words = ["why", "away", &trial.to_string()];
    let output = world.swath(&words).output().unwrap().stdout;
    String::from_utf8_lossy(&output).into_owned()
}

#[test]
fn trials_that_end_without_their_orchestrator_keep_their_times_and_are_never_called_lost() {
    let Some(_) = cluster() else { return };
    let trial = format!("until [ -e go ]; do sleep 0.1; done\n{SHORT}");
    let world = World::new("away", &trial, 4, &slurm("pilots = 2\nslots = 2"));
    let mut run = world.start();
    world.until("all trials run", |study| {
        study.trials().len() == 4 && study.trials().iter().all(|trial| trial.place.is_some())
    });
    run.child.kill().unwrap();
    run.child.wait().unwrap();
    let listed = world.swath(&["ls", "away"]).output().unwrap().stdout;
    let listed = String::from_utf8_lossy(&listed);
    assert_eq!(
        listed.matches("runs in a pilot on n").count(),
        4,
        "{listed}"
    );
    assert!(!listed.contains("lost"), "{listed}");
    std::fs::write(world.path("go"), "").unwrap();
    took(Instant::now(), || {
        (1..=4).all(|trial| {
            let complete = format!("trial {trial} is complete");
            why(&world, trial).starts_with(&complete)
        })
    });
    let third = why(&world, 3);
    assert!(third.contains("it ended in a pilot on n"), "{third}");
    std::thread::sleep(Duration::from_secs(3));
    let resumed = Timestamp::now();
    assert_eq!(world.start().wait(), 0, "{}", world.output());
    world.assert_all_complete(4);
    for trial in world.study().trials() {
        let (started, ended) = (trial.started_at.unwrap(), trial.ended_at.unwrap());
        assert!(ended < resumed, "{trial:?}");
        let between = ended.since(started).as_secs_f64();
        assert!((between - trial.seconds).abs() < 0.01, "{trial:?}");
    }
    world.assert_no_job_is_left();
}

#[test]
fn trials_get_the_environment_of_the_caller_where_slurm_passes_none() {
    let Some(_) = cluster() else { return };
    let trial = "echo \"{\\\"loss\\\": ${FOO:-0}, \\\"threads\\\": ${OMP_NUM_THREADS:-0}, \\\"job\\\": $SLURM_JOB_ID}\" >> \"$SWATH_RECORDS\"";
    let executor = slurm("prelude = [\"export OMP_NUM_THREADS=5\"]");
    let mut world = World::new("variables", trial, 2, &executor);
    for (name, value) in [
        ("SBATCH_EXPORT", "NONE"),
        ("FOO", "7"),
        ("OMP_NUM_THREADS", "3"),
        ("SLURM_JOB_ID", "0"),
    ] {
        world.env.push((name.to_owned(), value.to_owned()));
    }
    let (code, output) = world.run();
    assert_eq!(code, 0, "{output}");
    let record = swath::provenance::Record::of(&world.dir()).unwrap();
    for trial in world.study().trials() {
        let last = |name: &str| trial.metrics.get(name).map(|tally| tally.last.0);
        assert_eq!((last("loss"), last("threads")), (Some(7.0), Some(5.0)));
        assert!(last("job") > Some(0.0), "{trial:?}");
        let environment = record.environment(trial.id).unwrap();
        assert_eq!(environment.variables["OMP_NUM_THREADS"], "5");
    }
    assert_eq!(record.environments[0].variables["OMP_NUM_THREADS"], "3");
}
