"""Runs of sweeps whose trials are forked from a host, for tests."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import swath
from hosting import WITHIN

SWEEP = """
env = {{ PYTHONPATH = {path}, PYTHONDONTWRITEBYTECODE = "1" }}
{run}
[search]
sampler = "random"
trials = {trials}
[resources]
jobs = {jobs}
{resources}
[space]
x = {{ min = 0.0, max = 1.0 }}
[objective]
metric = "loss"
goal = "min"
"""

# A package that knows which process has imported it.
PACKAGE = "import os\nowner = os.getpid()\n"

# Notes outside of the records whether the trial was forked, and leaves time for its host.
SCRIPT = """
import os, random, sys, time
import package
import swath
params = swath.params(x=0.5)
folder = os.environ["SWATH_TRIAL_DIR"]
is_repeated = ".repetition" in folder
is_forked = package.owner != os.getpid()
is_forked = is_forked or "python" in os.readlink("/proc/%d/exe" % os.getppid())
ran = folder + ("/../repeated" if is_repeated else "/ran")
with open(ran, "a") as file:
    file.write("%d\\n" % is_forked)
time.sleep(0.05)
"""


class Run:
    """A run of a sweep in a folder, whose messages can be waited for."""

    def __init__(
        self,
        folder,
        script,
        *,
        warm="true",
        command=(sys.executable, "train.py"),
        packages=None,
        trials=3000,
        jobs=1,
        run="",
        resources="",
        more="",
    ):
        self.folder = folder
        folder.runs.append(self)
        site = folder.path / "site-packages"
        for name, text in {"package.py": PACKAGE, **(packages or {})}.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(text)
        folder.script(SCRIPT + script)
        head = f'name = "s"\nseed = 4\n[run]\nwarm = {warm}\n'
        head += f"command = {json.dumps(list(command))}\n"
        inherited = os.environ.get("PYTHONPATH")
        path = str(site) + (os.pathsep + inherited if inherited else "")
        sweep = SWEEP.format(
            path=json.dumps(path), trials=trials, jobs=jobs, run=run, resources=resources
        )
        (folder.path / "s.toml").write_text(head + sweep + more)
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [swath.binary(), "run", "s.toml"],
            cwd=self.folder.path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def wait_for(self, pattern):
        """Waits for a message; returns its match."""
        until = time.monotonic() + WITHIN
        while True:
            is_over = self.process.poll() is not None
            for line in list(self.lines):
                match = re.search(pattern, line)
                if match:
                    return match
            assert not is_over and time.monotonic() < until, "".join(self.lines)
            time.sleep(0.05)

    def stop(self):
        """Ends the run; returns its complete trials."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(WITHIN)
        self.reader.join(WITHIN)
        return [row for row in self.folder.trials() if row["state"] == "complete"]

    def kill(self):
        self.process.kill()
        self.process.wait(WITHIN)

    def path(self, trial, name):
        return self.folder.path / "logs" / "s" / str(trial) / name

    def begun(self):
        """Returns the number of trials in a row that have begun."""
        count = 0
        while self.path(count + 1, "ran").exists():
            count += 1
        return count

    def ran_forked(self, trial):
        return self.path(trial, "ran").read_text() == "1\n"

    def wait_for_forked_trial(self, after=0):
        """Waits until a trial behind `after` was forked; returns its number.

        Any other may have started cold, if the import of packages took its host too long.
        """
        checked = after
        until = time.monotonic() + WITHIN
        while True:
            is_over = self.process.poll() is not None
            begun = self.begun()
            for trial in range(checked + 1, begun + 1):
                if self.ran_forked(trial):
                    return trial
            # The last one may not have written yet.
            checked = max(begun - 1, checked)
            assert not is_over and time.monotonic() < until, "".join(self.lines)
            time.sleep(0.05)
