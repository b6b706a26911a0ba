"""A tracker that writes a study into a SQLite database.

In the sweep file:

    [[tracker]]
    name = "program"
    command = ["python3", "-m", "swath.tracker", "examples/trackers/sqlite_tracker.py:Sqlite"]

The database is `trackers/program/study.db` in the study's folder, or the file of the option
`file=PATH`, which several studies may share.
"""

import json
import sqlite3

import swath

SCHEMA = """
CREATE TABLE IF NOT EXISTS trials (
    study TEXT, trial INTEGER, params TEXT, state TEXT, "exit" TEXT, PRIMARY KEY (study, trial)
);
CREATE TABLE IF NOT EXISTS points (
    study TEXT, key TEXT, trial INTEGER, log TEXT, step REAL, at REAL, name TEXT, value,
    PRIMARY KEY (study, key, name)
);
CREATE TABLE IF NOT EXISTS models (
    study TEXT, trial INTEGER, path TEXT, md5 TEXT, step REAL,
    PRIMARY KEY (study, trial, path, step)
);
"""


class Sqlite(swath.Tracker):
    def init(self):
        path = self.options.get("file", self.dir / "study.db")
        self.db = sqlite3.connect(path, timeout=10)
        self.db.executescript(SCHEMA)

    def start(self, trial):
        self._write_trial(trial)
        if not trial.resumes:
            # What earlier attempts reported no longer counts.
            for table in ("points", "models"):
                self.db.execute(
                    f"DELETE FROM {table} WHERE study = ? AND trial = ?",
                    (self.study.name, trial.id),
                )

    def log(self, trial, step, values):
        # The key makes a row that comes again after a crash replace itself.
        place = (self.study.name, values.key, trial.id, values.log, step, values.at)
        self.db.executemany(
            "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(*place, name, value) for name, value in values.items()],
        )

    def model(self, trial, model):
        self.db.execute(
            "INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?)",
            (self.study.name, trial.id, model["model_path"], model["md5"], model.get("step")),
        )

    def end(self, trial):
        self._write_trial(trial)

    def flush(self):
        self.db.commit()

    def close(self):
        self.db.close()

    def _write_trial(self, trial):
        params = json.dumps({**trial.params, **trial.found})
        self.db.execute(
            "INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?, ?)",
            (self.study.name, trial.id, params, trial.state, trial.exit),
        )
