"""Sweeps whose trials are forked from a host: their records, and what is left when parts die."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import swath
from hosting import is_gone, wait_until
from warm_runs import Run

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="hosts need Linux"
)

# Time in seconds after which a run counts as hanging.
WITHIN = 240

SPACE = """
[space]
x = { min = 0.0, max = 1.0 }
[objective]
metric = "loss"
goal = "min"
"""

WARM = f"""
warm = true
[search]
sampler = "random"
trials = 25
[resources]
jobs = 1
{SPACE}
"""

# Its first trial starts cold, and waits for the host. The next one is forked, starts a child and a
# daemon without an environment, and waits until the test lets it go on.
WAITING = """
import os, subprocess, sys, time
import swath

parent = os.getppid()
trial = os.environ["SWATH_TRIAL"]
if not os.path.exists("go"):
    if "python" in os.readlink("/proc/%d/exe" % parent):
        sleep = ["sleep", "600"]
        child = subprocess.Popen(sleep)
        daemon = subprocess.Popen(sleep, env={}, start_new_session=True)
        host = open("/proc/%d/stat" % parent).read().rpartition(")")[2].split()[1]
        with open("new", "w") as file:
            pids = [trial, os.getpid(), child.pid, daemon.pid, parent, host]
            file.write(" ".join(map(str, pids)))
        os.rename("new", "pids")
        while not os.path.exists("go"):
            time.sleep(0.02)
        child.kill()
        daemon.kill()
    else:
        time.sleep(1)
swath.report(loss=1.0)
"""


def start(folder, *arguments):
    head = f'name = "s"\nseed = 4\n[run]\ncommand = [{json.dumps(sys.executable)}, "train.py"]\n'
    (folder.path / "s.toml").write_text(head + WARM)
    return subprocess.Popen(
        [swath.binary(), "run", "s.toml", *arguments],
        cwd=folder.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def stat(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def parent(pid):
    return int(stat(pid)[1])


def children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(child) for child in text.split()}


class Forked:
    """A trial that was forked and waits, and the processes around it."""

    def __init__(self, folder, run):
        wait_until((folder.path / "pids").exists)
        numbers = map(int, (folder.path / "pids").read_text().split())
        self.trial, self.leader, self.child, self.daemon, self.reaper, self.host = numbers
        self.host_slot = parent(self.host)
        self.guard = parent(self.host_slot)
        slots = children(self.guard) - {self.host_slot}
        assert len(slots) == 1
        self.slot = slots.pop()
        self.run = run.pid

    def all(self):
        return [self.leader, self.child, self.daemon, self.reaper, self.host]


def finish(folder, run):
    (folder.path / "go").touch()
    error = run.communicate(timeout=WITHIN)[1]
    assert run.returncode == 0, error
    rows = folder.trials()
    assert [row["state"] for row in rows] == ["complete"] * 25
    return {row["trial"]: row for row in rows}


def test_the_records_of_forked_trials_equal_those_of_cold_ones(folder):
    folder.script(
        """
        import os, swath
        params = swath.params()
        print("trial", params["x"])
        swath.report(loss=params["x"])
        swath.output(place=os.getcwd())
        """
    )
    sweep = WARM.replace("trials = 25", "trials = 6")
    warm = folder.run(sweep)
    cold = folder.run(sweep.replace("warm = true", "warm = false"), name="c")
    keys = ["trial", "state", "objectives", "metrics", "params", "seed"]
    assert [[row.get(key) for key in keys] for row in warm] == [
        [row.get(key) for key in keys] for row in cold
    ]
    for trial in range(1, 7):
        logs = [folder.path / "logs" / name / str(trial) / "stdout.log" for name in "sc"]
        assert logs[0].read_bytes() == logs[1].read_bytes()
    assert "cold:" not in folder.swath("show", "c", "1").stdout


def test_a_command_that_is_no_python_says_why_it_starts_cold(folder):
    head = 'name = "s"\n[run]\ncommand = ["sh", "-c", "echo loss=1"]\n'
    capture = '[capture]\nloss = "loss=(.*)"\n'
    sweep = WARM.replace("trials = 25", "trials = 2") + capture
    (folder.path / "s.toml").write_text(head + sweep)
    done = folder.swath("run", "s.toml")
    assert done.returncode == 0, done.stderr
    shown = folder.swath("show", "s", "2").stdout
    assert "cold: its command starts `sh`, which is no Python" in shown


@pytest.fixture
def waiting(folder):
    folder.script(WAITING)
    run = start(folder)
    try:
        yield folder, run, Forked(folder, run)
    finally:
        (folder.path / "go").touch()
        run.kill()
        run.wait()


def test_a_killed_host_leaves_its_trial_whole(waiting):
    folder, run, forked = waiting
    os.kill(forked.host, signal.SIGKILL)
    wait_until(lambda: is_gone(forked.host))
    assert not is_gone(forked.leader)
    rows = finish(folder, run)
    assert rows[forked.trial]["attempts"] == 1


@pytest.mark.parametrize("part", ["slot", "host_slot", "reaper"])
def test_a_trial_that_loses_a_process_above_it_runs_again_and_leaves_none(waiting, part):
    folder, run, forked = waiting
    os.kill(getattr(forked, part), signal.SIGKILL)
    wait_until(lambda: is_gone(forked.leader))
    rows = finish(folder, run)
    assert rows[forked.trial]["attempts"] == 2
    wait_until(lambda: all(map(is_gone, forked.all())))


def test_a_trial_goes_on_when_the_guard_is_killed(waiting):
    folder, run, forked = waiting
    os.kill(forked.guard, signal.SIGKILL)
    wait_until(lambda: is_gone(forked.guard))
    rows = finish(folder, run)
    assert rows[forked.trial]["attempts"] == 1


def test_nothing_is_left_when_the_orchestrator_is_killed(waiting):
    folder, run, forked = waiting
    run.kill()
    wait_until(lambda: all(map(is_gone, [*forked.all(), forked.slot, forked.host_slot])))
    (folder.path / "go").touch()
    rows = finish(folder, start(folder))
    assert rows[forked.trial]["attempts"] == 2


def test_nothing_is_left_when_all_processes_of_swath_are_killed_at_once(waiting):
    folder, run, forked = waiting
    for pid in (run.pid, forked.guard, forked.slot, forked.host_slot):
        os.kill(pid, signal.SIGKILL)
    # The daemon has neither a parent nor a mark of the trial; its reaper ends it.
    wait_until(lambda: all(map(is_gone, forked.all())))
    (folder.path / "go").touch()
    rows = finish(folder, start(folder))
    assert rows[forked.trial]["attempts"] == 2


def test_a_forked_trial_that_is_stopped_ends_within_its_grace_period(waiting):
    folder, run, forked = waiting
    run.send_signal(signal.SIGINT)
    wait_until(lambda: all(map(is_gone, [*forked.all(), forked.slot, forked.host_slot])))
    run.communicate(timeout=WITHIN)
    (folder.path / "go").touch()
    finish(folder, start(folder))


def test_trials_with_private_folders_are_forked_from_one_host(folder):
    script = "open('own.txt', 'w').write(os.getcwd())\nswath.report(loss=params.x)"
    run = Run(folder, script, run='workdir = "private"')
    first = run.wait_for_forked_trial()
    second = run.wait_for_forked_trial(after=first)
    # The second one has ended then.
    wait_until(lambda: run.begun() > second)
    run.stop()
    for trial in (first, second):
        own = run.path(trial, "work")
        assert (own / "own.txt").read_text() == str(own)


def test_a_package_that_reads_a_file_of_the_project_is_not_shared_by_private_folders(folder):
    (folder.path / "settings.ini").write_text("[a]")
    package = {"reader.py": "open('settings.ini').read()"}
    script = "import reader\nswath.report(loss=params.x)"
    run = Run(folder, script, run='workdir = "private"', packages=package, trials=12)
    run.process.wait(WITHIN)
    wait_until(lambda: run.begun() == 12)
    notes = folder.swath("show", "s", "12").stdout
    assert "cold:" in notes
    assert not run.ran_forked(12) or "its host" in notes


def test_console_scripts_are_forked(folder):
    tool = folder.path / "tool"
    tool.write_text(
        f"#!{sys.executable}\nimport os, runpy, sys\n"
        "with open(os.environ['SWATH_TRIAL_DIR'] + '/start', 'w') as file:\n"
        "    file.write(repr([sys.argv[:2], sys.path, sys.executable, sys.flags, __file__]))\n"
        "runpy.run_path('train.py')\n"
    )
    tool.chmod(0o755)
    run = Run(folder, "swath.report(loss=params.x)", command=["./tool", "fit"])
    trial = run.wait_for_forked_trial()
    run.stop()
    own = folder.path / "own"
    own.mkdir()
    path = os.pathsep.join([str(folder.path / "site-packages"), os.environ.get("PYTHONPATH", "")])
    env = {
        **os.environ,
        "PYTHONPATH": path.rstrip(os.pathsep),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SWATH_TRIAL_DIR": str(own),
    }
    subprocess.run([f"{folder.path}/./tool", "fit"], cwd=folder.path, env=env, check=True, timeout=WITHIN)
    assert run.path(trial, "start").read_text() == (own / "start").read_text()


WRITER = """
class SummaryWriter:
    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None):
        pass
"""


def test_the_import_hook_of_a_source_sees_forked_trials(folder):
    packages = {"tensorboardX/__init__.py": "", "tensorboardX/writer.py": WRITER}
    script = """
from tensorboardX.writer import SummaryWriter
SummaryWriter().add_scalar("loss", params.x, 1)
open(os.path.join(folder, "variables"), "w").write(os.environ["PYTHONPATH"])
"""
    run = Run(folder, script, packages=packages, more='[[source]]\nname = "python"\n')
    trial = run.wait_for_forked_trial()
    wait_until(lambda: run.begun() > trial + 1)
    rows = {row["trial"]: row for row in run.stop()}
    assert rows[trial]["objectives"]["loss"] == rows[trial]["params"]["x"]
    variables = {run.path(number, "variables").read_text() for number in (1, trial)}
    assert len(variables) == 1 and "python-hook" not in variables.pop()


TAKE_MEMORY = """
import multiprocessing
def take():
    block = bytearray(b"x") * (600 << 20)
    time.sleep(60)
"""


@pytest.mark.parametrize("take", ["take()", "multiprocessing.Process(target=take).start()"])
def test_a_memory_limit_holds_for_forked_trials_and_what_they_start(folder, take):
    script = TAKE_MEMORY + f"if is_forked: {take}\nswath.report(loss=params.x)"
    run = Run(folder, script, resources='memory = "300 MiB"')
    failed = run.wait_for(r"trial (\d+) failed: .*memory")
    run.stop()
    assert run.ran_forked(int(failed[1]))


WAITING_IN_SLOTS = """
import subprocess
if is_forked and not os.path.exists("go"):
    sleep = ["sleep", "600"]
    child = subprocess.Popen(sleep)
    daemon = subprocess.Popen(sleep, env={}, start_new_session=True)
    parent = os.getppid()
    host = open("/proc/%d/stat" % parent).read().rpartition(")")[2].split()[1]
    with open("new-" + os.environ["SWATH_TRIAL"], "w") as file:
        file.write(" ".join(map(str, [os.getpid(), child.pid, daemon.pid, parent, host])))
    os.rename(file.name, file.name.replace("new", "pids"))
    while not os.path.exists("go"):
        time.sleep(0.02)
    child.kill()
    daemon.kill()
swath.report(loss=params.x)
"""


class ForkedTrials:
    """Forked trials in three slots, which wait, and the processes around them."""

    def __init__(self, run):
        self.run, self.path = run, run.folder.path
        wait_until(lambda: len(list(self.path.glob("pids-*"))) == 3)
        self.pids = {}
        for file in sorted(self.path.glob("pids-*")):
            self.pids[int(file.name[5:])] = list(map(int, file.read_text().split()))
        first = next(iter(self.pids.values()))
        self.host = first[4]
        self.host_slot = parent(self.host)
        self.reaper = first[3]
        self.guard = parent(self.host_slot)

    def attempts(self):
        """Lets the trials end; returns the number of attempts of each."""
        (self.path / "go").touch()
        wait_until(lambda: len(self.complete()) == 3)
        return [row["attempts"] for row in self.complete()]

    def complete(self):
        rows = self.run.folder.trials()
        return [row for row in rows if row["trial"] in self.pids and row["state"] == "complete"]

    def all_gone(self, trials):
        return all(is_gone(pid) for trial in trials for pid in self.pids[trial][:4])


@pytest.fixture
def waiting_in_slots(folder):
    return ForkedTrials(Run(folder, WAITING_IN_SLOTS, jobs=3))


def test_trials_in_several_slots_have_one_host_and_survive_it(waiting_in_slots):
    assert {pids[4] for pids in waiting_in_slots.pids.values()} == {waiting_in_slots.host}
    os.kill(waiting_in_slots.host, signal.SIGKILL)
    wait_until(lambda: is_gone(waiting_in_slots.host))
    assert waiting_in_slots.attempts() == [1, 1, 1]


def test_a_killed_reaper_ends_no_trial_of_another_slot(waiting_in_slots):
    first = next(iter(waiting_in_slots.pids))
    os.kill(waiting_in_slots.reaper, signal.SIGKILL)
    wait_until(lambda: waiting_in_slots.all_gone([first]))
    assert sorted(waiting_in_slots.attempts()) == [1, 1, 2]


def test_all_trials_run_again_if_the_slot_of_their_host_is_killed(waiting_in_slots):
    os.kill(waiting_in_slots.host_slot, signal.SIGKILL)
    wait_until(lambda: waiting_in_slots.all_gone(waiting_in_slots.pids))
    assert waiting_in_slots.attempts() == [2, 2, 2]


def test_nothing_is_left_in_any_slot_when_the_orchestrator_and_its_guard_are_killed(
    waiting_in_slots,
):
    for pid in (waiting_in_slots.run.process.pid, waiting_in_slots.guard):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: waiting_in_slots.all_gone(waiting_in_slots.pids))
    wait_until(lambda: is_gone(waiting_in_slots.host))


# A batch system that starts each job in a session of its own.
QUEUE = """#!/bin/sh
jobs=$(dirname "$0")/jobs
case $1 in
submit)
    setsid sh "$2" >"$3" 2>&1 </dev/null &
    echo "$!" >>"$jobs"
    echo "job $!"
    ;;
list)
    [ -f "$jobs" ] || exit 0
    while read -r pid; do
        state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null)
        [ -z "$state" ] || [ "$state" = Z ] || echo "$pid RUNNING"
    done <"$jobs"
    ;;
cancel) kill "$2" ;;
esac
"""

EXECUTOR = """
[executor]
name = "command"
submit = ["./queue.sh", "submit", "{script}", "{log}"]
list = ["./queue.sh", "list"]
cancel = ["./queue.sh", "cancel", "{id}"]
id = 'job (\\d+)'
listed = '^(?<id>\\d+) (?<state>\\w+)'
pilots = 1
slots = 2
poll = "1s"
lease = "4s"
"""


def test_trials_in_pilots_are_forked(folder):
    queue = folder.path / "queue.sh"
    queue.write_text(QUEUE)
    queue.chmod(0o755)
    run = Run(folder, "swath.report(loss=params.x)", jobs=2, more=EXECUTOR)
    trial = run.wait_for_forked_trial()
    wait_until(lambda: run.begun() > trial + 4)
    rows = {row["trial"]: row for row in run.stop()}
    assert rows[trial]["objectives"]["loss"] == rows[trial]["params"]["x"]
