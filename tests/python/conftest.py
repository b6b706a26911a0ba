"""Helpers of the tests of the Python module, which must be installed with its binary."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import swath


class Folder:
    """A working directory with a script and sweeps."""

    # The time in seconds after which a command counts as hanging.
    timeout = 120

    def __init__(self, path):
        self.path = path
        # Runs that are killed when the test ends.
        self.runs = []

    def script(self, text, name="train.py"):
        (self.path / name).write_text(textwrap.dedent(text))

    def run(self, sweep, *arguments, name="s"):
        """Runs a sweep of ``train.py``; ``sweep`` is the rest of the file after `[run]`."""
        head = f'name = "{name}"\nseed = 4\n[run]\ncommand = [{json.dumps(sys.executable)}, "train.py"]\n'
        (self.path / "s.toml").write_text(head + textwrap.dedent(sweep))
        done = self.swath("run", "s.toml", *arguments)
        assert done.returncode == 0, done.stderr
        return self.trials(name)

    def swath(self, *arguments):
        return subprocess.run(
            [swath.binary(), *arguments],
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=self.timeout,
        )

    def python(self, name="train.py", **env):
        return subprocess.run(
            [sys.executable, name],
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=self.timeout,
            env={**os.environ, **env},
        )

    def trials(self, name="s"):
        return swath.read(self.path / "logs" / name).rows()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Folder(tmp_path)
    yield folder
    for run in folder.runs:
        run.kill()


@pytest.fixture
def one_trial():
    """The rest of a sweep of one trial after `[run]`."""
    return textwrap.dedent("""
    [objective]
    metric = "loss"
    goal = "min"
    [search]
    sampler = "random"
    trials = 1
    [space]
    lr = { min = 0.1, max = 0.2 }
    """)
