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

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="hosts need Linux"
)

# Time in seconds after which a run counts as hanging.
WITHIN = 240

SPACE = """
[space]
x = [0.0, 1.0]
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


def wait_until(is_true):
    until = time.monotonic() + WITHIN
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.02)


def stat(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def parent(pid):
    return int(stat(pid)[1])


def is_gone(pid):
    fields = stat(pid)
    return fields is None or fields[0] in "ZX"


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
    assert "cold: its host starts" in folder.swath("show", "s", "1").stdout
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
