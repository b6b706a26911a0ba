"""Ray from PyPI: a head node without workers elsewhere, whose jobs are run by Ray's job server."""

import os
import re
import subprocess

from sandbox import USER, make_python, wait_until

template = "ray"
SLOTS = 4
ADDRESS = "127.0.0.1:8265"
environment = {"RAY_API_SERVER_ADDRESS": f"http://{ADDRESS}", "RAY_USAGE_STATS_ENABLED": "0"}
RUNNING = ("PENDING", "RUNNING")


def install(cache):
    make_python(f"{cache}/ray", "ray[default]")


def start(folder, cache):
    os.environ.update(environment)
    os.environ["PATH"] = f"{cache}/ray/bin:{os.environ['PATH']}"
    # The path of Ray's sockets must be short.
    files = "/run/ray"
    os.mkdir(files)
    subprocess.run(["chown", f"{USER}:{USER}", files], check=True)
    start_head = ["ray", "start", "--head", f"--num-cpus={SLOTS}", "--node-ip-address=127.0.0.1"]
    options = [f"--temp-dir={files}", "--object-store-memory=80000000", "--disable-usage-stats"]
    # Ray's jobs run as the user who started Ray.
    started = as_user([*start_head, *options])
    assert started.returncode == 0, started.stdout + started.stderr
    wait_until("the job server answers", lambda: as_user(["ray", "job", "list"]).returncode == 0)


def as_user(command):
    return subprocess.run(
        ["runuser", "-u", USER, "--", *command], capture_output=True, text=True, cwd="/"
    )


def version():
    return as_user(["ray", "--version"]).stdout.strip()


def jobs():
    """Returns the ids of all jobs that are not over."""
    listed = as_user(["ray", "job", "list"])
    assert listed.returncode == 0, listed.stderr
    entries = re.findall(r"submission_id='([^']+)'.*? status=<JobStatus\.(\w+)", listed.stdout)
    return [job for job, state in entries if state in RUNNING]


def cancel(job):
    stopped = as_user(["ray", "job", "stop", "--no-wait", job])
    assert stopped.returncode == 0, stopped.stderr


def is_daemon(words):
    return any("ray" in word for word in words[:3]) and "pilot" not in words
