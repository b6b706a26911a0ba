"""Sweeps that every batch system must run, and the faults that they must survive."""

import csv
import glob
import os
import pwd
import shutil
import subprocess
import time

from sandbox import USER, kill, processes, wait_until

# Value of an environment variable of the user who calls `swath`; every trial must see it.
FROM_CALLER = 7

# Each trial reports five times and resumes from its checkpoint. It takes `$2` seconds a step.
TRIAL = """#!/bin/sh
step=0
[ ! -r "$SWATH_CHECKPOINT_DIR/step" ] || step=$(cat "$SWATH_CHECKPOINT_DIR/step")
while [ "$step" -lt 5 ]; do
    sleep "$2"
    step=$((step + 1))
    echo "$step" >"$SWATH_CHECKPOINT_DIR/step"
    printf '{"loss": %s, "from_caller": %s}\\n' "$1" "${FROM_CALLER:-0}" >>"$SWATH_RECORDS"
done
"""

SWEEP = """
name = "{name}"
[run]
command = ["./trial.sh", "{{n}}", "{nap}"]
checkpoint = true
grace = "2s"
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "grid"
trials = {trials}
[space]
n = {{ min = 1, max = {trials} }}
[executor]
name = "command"
template = "{template}"
pilots = 2
slots = 2
walltime = "10m"
poll = "1s"
lease = "3s"
orphan = "30s"
{memory}
"""


class World:
    """A user of the batch system, with a folder of sweeps and a `swath` to run them."""

    def __init__(self, engine, swath, home):
        self.engine = engine
        self.home = home
        self.user = pwd.getpwnam(USER)
        # The folder of the program may be closed to other users.
        self.swath = f"{home}/swath"
        open(self.swath, "w").close()
        subprocess.run(["mount", "--bind", swath, self.swath], check=True)
        self.environment = {
            "HOME": home,
            "USER": USER,
            "PATH": f"{home}:{os.environ['PATH']}",
            "FROM_CALLER": str(FROM_CALLER),
            **getattr(engine, "environment", {}),
        }

    def write_sweep(self, name, trials, nap):
        self.name = name
        self.trials = trials
        self.folder = f"{self.home}/{name}"
        os.mkdir(self.folder)
        text = SWEEP.format(
            name=name,
            trials=trials,
            nap=nap,
            template=self.engine.template,
            memory='memory = "200 MiB"' if getattr(self.engine, "has_memory", True) else "",
        )
        for file, content in [("trial.sh", TRIAL), ("sweep.toml", text)]:
            with open(f"{self.folder}/{file}", "w") as out:
                out.write(content)
        os.chmod(f"{self.folder}/trial.sh", 0o755)
        shutil.chown(self.folder, USER, USER)

    def start(self, *arguments):
        """Starts `swath` as the user; its messages go to a file."""
        with open(f"{self.folder}/output", "a") as output:
            return subprocess.Popen(
                [self.swath, *arguments],
                cwd=self.folder,
                # OAR takes the folder of a job from PWD, which a shell sets.
                env={**self.environment, "PWD": self.folder},
                user=USER,
                group=USER,
                extra_groups=[],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def start_run(self):
        return self.start("run", "sweep.toml")

    def run(self, limit=120):
        """Runs the sweep, which must end well."""
        status = self.start_run().wait(timeout=limit)
        assert status == 0, f"`swath run` ended with {status}"

    def pilots(self):
        """Returns the pids of the pilots."""
        return self.pids(lambda words: words[1:2] == ["pilot"])

    def running_trials(self):
        return self.pids(lambda words: any(word.endswith("/trial.sh") for word in words))

    def pids(self, is_wanted):
        """Returns the living processes of the user with such a command line."""
        return processes(lambda owner, words: owner == self.user.pw_uid and is_wanted(words))

    def wait_for_trials(self):
        """Waits until trials have run for a step, so that they have something to lose."""
        # A batch system may start the second job much later than the first one.
        wait_until("a pilot runs", lambda: self.pilots())
        wait_until("two trials run", lambda: len(self.running_trials()) >= 2)
        wait_until("a trial has reported", lambda: self.checkpoints() > 0)

    def checkpoints(self):
        study = f"{self.folder}/logs/{self.name}"
        return sum(1 for _, _, files in os.walk(study) if "step" in files)

    def assert_complete(self):
        """Checks that each trial is complete, and has the value of its parameter."""
        with open(f"{self.folder}/logs/{self.name}/trials.csv", newline="") as table:
            rows = list(csv.DictReader(table))
        values = sorted(
            (
                row["state"],
                int(row["param.n"]),
                float(row["loss"]),
                float(row["metric.from_caller"]),
            )
            for row in rows
        )
        expected = [
            ("complete", number, number, FROM_CALLER) for number in range(1, self.trials + 1)
        ]
        assert values == expected, values
        return rows

    def assert_nothing_is_left(self):
        """Checks that neither a job nor a process of the user remains."""
        wait_until("no job is left", lambda: not self.engine.jobs(), 20)
        wait_until("no process is left", lambda: not self.leftovers(), 20)

    def leftovers(self):
        """Returns the processes of the user that do not belong to the batch system."""
        is_daemon = getattr(self.engine, "is_daemon", lambda words: False)
        return self.pids(lambda words: not is_daemon(words))

    def show_evidence(self):
        if not hasattr(self, "folder"):
            return
        subprocess.run(["ps", "axfwww", "-o", "user,pid,ppid,stat,args"])
        pilots = f"{self.folder}/logs/{self.name}/pilots"
        logs = sorted(glob.glob(f"{pilots}/*.log") + glob.glob(f"{pilots}/fleet.jsonl"))
        for path in [f"{self.folder}/sweep.toml", f"{self.folder}/output", *logs]:
            print(f"--- {path}")
            with open(path, errors="replace") as text:
                print(text.read()[-4000:], flush=True)


def sweep(world):
    """A sweep ends, and its trials have the caller's environment."""
    world.write_sweep("sweep", 12, 0.1)
    world.run()
    world.assert_complete()
    world.assert_nothing_is_left()


def stop(world):
    """`swath stop` ends trials and jobs; the same command resumes the sweep."""
    world.write_sweep("stop", 6, 0.5)
    run = world.start_run()
    world.wait_for_trials()
    assert world.start("stop", "stop").wait(timeout=30) == 0
    run.wait(timeout=30)
    world.assert_nothing_is_left()
    world.run()
    world.assert_complete()
    world.assert_nothing_is_left()


def cancelled_job(world):
    """The trials of a cancelled job run again elsewhere."""
    world.write_sweep("cancel", 6, 0.5)
    run = world.start_run()
    world.wait_for_trials()
    world.engine.cancel(world.engine.jobs()[0])
    assert run.wait(timeout=120) == 0
    world.assert_complete()
    world.assert_nothing_is_left()


def killed_orchestrator(world):
    """Pilots outlive the orchestrator, and the next one adopts their trials."""
    world.write_sweep("orchestrator", 6, 0.5)
    run = world.start_run()
    world.wait_for_trials()
    run.kill()
    run.wait()
    wait_until("the pilots have ended their trials", lambda: not world.running_trials())
    assert world.pilots()
    # The time without an orchestrator must not count as time of the trials.
    absence = 8
    time.sleep(absence)
    world.run()
    rows = world.assert_complete()
    assert [row["attempts"] for row in rows] == ["1"] * 6, rows
    assert all(float(row["seconds"]) < absence for row in rows), rows
    world.assert_nothing_is_left()


def killed_pilot(world):
    """The trials of a killed pilot run again."""
    world.write_sweep("pilot", 6, 0.5)
    run = world.start_run()
    world.wait_for_trials()
    kill(world.pilots()[0])
    assert run.wait(timeout=120) == 0
    world.assert_complete()
    world.assert_nothing_is_left()


SCENARIOS = {
    "sweep": sweep,
    "stop": stop,
    "cancelled-job": cancelled_job,
    "killed-orchestrator": killed_orchestrator,
    "killed-pilot": killed_pilot,
}
