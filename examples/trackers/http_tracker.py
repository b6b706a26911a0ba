"""A tracker that sends a study to a service over HTTP, in batches.

In the sweep file:

    [[tracker]]
    name = "program"
    command = [
        "python3", "-m", "swath.tracker", "examples/trackers/http_tracker.py:Http",
        "url=http://127.0.0.1:8000/runs", "token_variable=SERVICE_TOKEN",
    ]
    log_freq = 10
    log_on_workers = 0

Each batch is a POST of a list of objects in JSON. A service that is away gets it later.
"""

import json
import math
import os
import urllib.request

import swath


class Http(swath.Tracker):
    def init(self):
        self.url = self.options["url"]
        # A variable holds the token, because the study keeps its command for good.
        self.token = os.environ.get(self.options.get("token_variable", ""))
        self.batch = []

    def start(self, trial):
        self._add(trial, event="start", params=trial.params, resumes=trial.resumes)

    def log(self, trial, step, values):
        # JSON has no NaN and no infinities.
        plain = {name: str(x) if _is_special(x) else x for name, x in values.items()}
        self._add(trial, event="log", key=values.key, log=values.log, step=step, values=plain)

    def model(self, trial, model):
        self._add(trial, event="model", path=model["model_path"], md5=model["md5"])

    def end(self, trial):
        self._add(trial, event="end", state=trial.state, exit=trial.exit)

    def flush(self):
        if not self.batch:
            return
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        body = json.dumps(self.batch, allow_nan=False).encode()
        request = urllib.request.Request(self.url, body, headers)
        with urllib.request.urlopen(request, timeout=1.5):
            self.batch = []

    def _add(self, trial, **event):
        self.batch.append({"study": self.study.name, "trial": trial.id, **event})


def _is_special(value):
    return isinstance(value, float) and not math.isfinite(value)
