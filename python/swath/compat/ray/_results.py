"""The results of a call: trials, and tables over them, with the names of Ray Tune."""

from __future__ import annotations

import json
import math
import os
from typing import Any, Callable, Iterator

from ..._errors import SwathError
from ..._read import read
from ._session import CONFIG_FILE, ITERATION, Checkpoint, checkpoints_in

_STATUS = {"complete": "TERMINATED", "stopped": "TERMINATED", "failed": "ERROR"}


class TuneError(SwathError):
    """A trial failed."""


class Trial:
    """A trial: its configuration and what it reported."""

    def __init__(self, number: int, config: "dict[str, Any]", path: str) -> None:
        self.trial_id = str(number)
        self.config = self.evaluated_params = config
        self.path = self.local_path = self.logdir = path
        self.status = "RUNNING"
        self.error: "TuneError | None" = None
        self.reports: "list[dict[str, Any]]" = []
        self.experiment_tag = self.trial_id
        self.trainable_name = os.path.basename(os.path.dirname(path))

    @property
    def last_result(self) -> "dict[str, Any]":
        """The last report, with the configuration and the trial's id; empty if there is none."""
        return self.result(self.reports[-1]) if self.reports else {}

    def result(self, values: "dict[str, Any]") -> "dict[str, Any]":
        """Returns a report as Ray Tune gives it: nested, with the configuration."""
        nested: "dict[str, Any]" = {}
        for name, value in values.items():
            *parents, last = name.split("/")
            place = nested
            for parent in parents:
                inner = place.setdefault(parent, {})
                if not isinstance(inner, dict):
                    # A value has the name of the group: the flat name stays.
                    place, last = nested, name
                    break
                place = inner
            place[last] = value
        return {**nested, "trial_id": self.trial_id, "config": self.config}

    @property
    def checkpoint(self) -> "Checkpoint | None":
        """The newest checkpoint that is still in the trial's folder."""
        stored = checkpoints_in(self.path)
        return stored[-1][1] if stored else None

    def is_finished(self) -> bool:
        return self.status in ("TERMINATED", "ERROR")

    def __str__(self) -> str:
        return f"{self.trainable_name}_{self.trial_id}"

    def __repr__(self) -> str:
        return f"<tune trial {self.trial_id}: {self.status}>"


def trials_of(study: str, resolve: "Callable[[dict], dict] | None") -> "list[Trial]":
    """Returns the trials of a study that have started, in the order of their numbers."""
    trials: "dict[int, Trial]" = {}
    for row in read(study).rows():
        if row["state"] == "waiting":
            continue
        number = row["trial"]
        path = os.path.join(study, str(number))
        trial = trials[number] = Trial(number, _config(path, row, resolve), path)
        trial.status = _STATUS.get(row["state"], "PENDING")
        if row["state"] == "failed":
            log = os.path.join(path, "stderr.log")
            trial.error = TuneError(f"trial {number} failed: {row.get('exit')}", f"see {log}")
    for row in read(study, long=True).rows():
        if row["trial"] in trials:
            values = row["values"]
            if isinstance(values.get(ITERATION), float):
                values[ITERATION] = int(values[ITERATION])
            trials[row["trial"]].reports.append(values)
    return [trials[number] for number in sorted(trials)]


def _config(path: str, row: dict, resolve: "Callable[[dict], dict] | None") -> "dict[str, Any]":
    """Returns the configuration that the function got.

    The file has what a function of `sample_from` drew; values that JSON lacks come from the space.
    """
    try:
        config = resolve(row["params"]) if resolve else dict(row["params"])
    except Exception:
        config = dict(row["params"])
    try:
        with open(os.path.join(path, CONFIG_FILE), encoding="utf-8") as file:
            return _merged(config, json.load(file))
    except (OSError, ValueError):
        return config


def _merged(config: Any, stored: Any) -> Any:
    if isinstance(config, dict) and isinstance(stored, dict):
        merged = {key: _merged(config.get(key), value) for key, value in stored.items()}
        return {**config, **merged}
    return config if stored is None or isinstance(config, tuple) else stored


class Selection:
    """Trials, and the choice of the best one among them."""

    def __init__(
        self, path: str, trials: "list[Trial]", metric: "str | None", mode: "str | None"
    ) -> None:
        self.experiment_path, self._trials = path, trials
        self.default_metric, self.default_mode = metric, mode

    def _metric_and_mode(self, metric: "str | None", mode: "str | None") -> "tuple[str, str]":
        metric, mode = metric or self.default_metric, mode or self.default_mode
        if metric is None or mode is None:
            raise ValueError(
                "no metric was named: name it here, metric='loss', mode='min', "
                "or in the call that ran the trials"
            )
        if mode not in ("min", "max"):
            raise ValueError(f"the mode is {mode!r}; it can be 'min' or 'max'")
        return metric, mode

    def best(
        self, metric: "str | None", mode: "str | None", scope: str, filter_nan_and_inf: bool = True
    ) -> "Trial | None":
        """Returns the best trial, or ``None`` if no trial has a value of the metric.

        ``scope`` is ``last`` (the last value of each trial), ``all`` (its best value), ``avg``,
        ``last-5-avg`` or ``last-10-avg``.
        """
        metric, mode = self._metric_and_mode(metric, mode)
        sign = 1 if mode == "max" else -1
        best, best_score = None, -math.inf
        for trial in self._trials:
            values = [report[metric] for report in trial.reports if metric in report]
            values = [float(value) for value in values if isinstance(value, (int, float))]
            if filter_nan_and_inf:
                values = [value for value in values if math.isfinite(value)]
            if not values:
                continue
            score = _scoped([sign * value for value in values], scope)
            if best is None or score > best_score:
                best, best_score = trial, score
        return best

    def frame(self, metric: "str | None", mode: "str | None") -> Any:
        """Returns a data frame of pandas: a row for each trial, its last or its best report."""
        import pandas

        rows = []
        for trial in self._trials:
            report = _chosen(trial, metric, mode)
            if report is None:
                continue
            row = {**report, "trial_id": trial.trial_id}
            row.update({f"config/{name}": value for name, value in _slashes(trial.config).items()})
            row["logdir"] = trial.path
            rows.append(row)
        return pandas.DataFrame(rows)


def _scoped(values: "list[float]", scope: str) -> float:
    if scope == "last":
        return values[-1]
    if scope == "all":
        return max(values)
    windows = {"avg": len(values), "last-5-avg": 5, "last-10-avg": 10}
    if scope not in windows:
        raise ValueError(
            f"the scope is {scope!r}; it can be last, all, avg, last-5-avg or last-10-avg"
        )
    window = values[-windows[scope] :]
    return sum(window) / len(window)


def _chosen(trial: Trial, metric: "str | None", mode: "str | None") -> "dict[str, Any] | None":
    if metric is None:
        return trial.reports[-1] if trial.reports else None
    having = [report for report in trial.reports if metric in report]
    if not having:
        return None
    return (min if mode == "min" else max)(having, key=lambda report: report[metric])


def _slashes(config: "dict[str, Any]", prefix: str = "") -> "dict[str, Any]":
    """Returns the entries of a nested dictionary by names joined with slashes."""
    entries: "dict[str, Any]" = {}
    for name, value in config.items():
        if isinstance(value, dict):
            entries.update(_slashes(value, f"{prefix}{name}/"))
        else:
            entries[f"{prefix}{name}"] = value
    return entries


def _frame_of(trial: Trial) -> Any:
    import pandas

    return pandas.DataFrame(trial.reports)


class Result:
    """The result of one trial."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self.metrics: "dict[str, Any] | None" = trial.last_result or None
        self.config = trial.config
        self.checkpoint = trial.checkpoint
        self.error = trial.error
        self.path = trial.path

    @property
    def metrics_dataframe(self) -> Any:
        """All reports of the trial as a data frame of pandas."""
        return _frame_of(self._trial)

    @property
    def best_checkpoints(self) -> "list[tuple[Checkpoint, dict]]":
        """The checkpoints that are stored, each with the report it was saved with."""
        by_iteration = {report.get(ITERATION): report for report in self._trial.reports}
        return [
            (checkpoint, self._trial.result(by_iteration.get(number, {})))
            for number, checkpoint in checkpoints_in(self.path)
        ]

    def get_best_checkpoint(self, metric: str, mode: str) -> "Checkpoint | None":
        """Returns the checkpoint that was saved with the best report."""
        pick = min if mode == "min" else max
        having = [pair for pair in self.best_checkpoints if metric in pair[1]]
        return pick(having, key=lambda pair: pair[1][metric])[0] if having else None

    def __repr__(self) -> str:
        metrics = {
            name: value
            for name, value in (self.metrics or {}).items()
            if name not in ("config", "trial_id", "time_total_s")
        }
        return f"Result(metrics={metrics!r}, path={self.path!r}, error={self.error!r})"


class ResultGrid(Selection):
    """The results of `Tuner.fit`, one for each trial."""

    def get_best_result(
        self,
        metric: "str | None" = None,
        mode: "str | None" = None,
        scope: str = "last",
        filter_nan_and_inf: bool = True,
    ) -> Result:
        """Returns the result of the best trial. Raises `RuntimeError` if there is none."""
        best = self.best(metric, mode, scope, filter_nan_and_inf)
        if best is None:
            raise RuntimeError(
                f"no trial has a value of `{metric or self.default_metric}`: report it in the "
                "function, and look at `errors`"
            )
        return Result(best)

    def get_dataframe(
        self, filter_metric: "str | None" = None, filter_mode: "str | None" = None
    ) -> Any:
        """Returns a data frame of pandas with a row for each trial.

        The row is its last report, or with ``filter_metric`` the report that is best in it.
        """
        return self.frame(filter_metric, filter_mode or self.default_mode)

    @property
    def errors(self) -> "list[TuneError]":
        """The errors of the trials that failed."""
        return [trial.error for trial in self._trials if trial.error is not None]

    @property
    def num_errors(self) -> int:
        """The number of trials that failed."""
        return len(self.errors)

    @property
    def num_terminated(self) -> int:
        """The number of trials that ended without an error."""
        return sum(1 for trial in self._trials if trial.status == "TERMINATED")

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, index: int) -> Result:
        return Result(self._trials[index])

    def __iter__(self) -> "Iterator[Result]":
        return (Result(trial) for trial in self._trials)

    def __repr__(self) -> str:
        return f"ResultGrid<[{', '.join(map(repr, self))}]>"


class ExperimentAnalysis(Selection):
    """The result of `tune.run`."""

    @property
    def trials(self) -> "list[Trial]":
        """The trials that have started."""
        return list(self._trials)

    def get_best_trial(
        self,
        metric: "str | None" = None,
        mode: "str | None" = None,
        scope: str = "last",
        filter_nan_and_inf: bool = True,
    ) -> "Trial | None":
        """Returns the best trial, or ``None`` if no trial has a value of the metric."""
        return self.best(metric, mode, scope, filter_nan_and_inf)

    def get_best_config(
        self, metric: "str | None" = None, mode: "str | None" = None, scope: str = "last"
    ) -> "dict[str, Any] | None":
        """Returns the configuration of the best trial."""
        trial = self.best(metric, mode, scope)
        return trial.config if trial else None

    def get_best_logdir(
        self, metric: "str | None" = None, mode: "str | None" = None, scope: str = "last"
    ) -> "str | None":
        """Returns the folder of the best trial."""
        trial = self.best(metric, mode, scope)
        return trial.path if trial else None

    def get_best_checkpoint(
        self, trial: Trial, metric: "str | None" = None, mode: "str | None" = None
    ) -> "Checkpoint | None":
        """Returns the checkpoint of a trial that was saved with its best report."""
        return Result(trial).get_best_checkpoint(*self._metric_and_mode(metric, mode))

    def get_last_checkpoint(
        self, trial: "Trial | None" = None, metric: "str | None" = None, mode: "str | None" = None
    ) -> "Checkpoint | None":
        """Returns the newest checkpoint of a trial, by default of the best one."""
        trial = trial or self.best(metric, mode, "last")
        return trial.checkpoint if trial else None

    def get_all_configs(self, prefix: bool = False) -> "dict[str, dict]":
        """Returns the configurations by the folders of their trials."""
        return {
            trial.path: (
                {f"config/{name}": value for name, value in trial.config.items()}
                if prefix
                else trial.config
            )
            for trial in self._trials
        }

    @property
    def best_trial(self) -> "Trial | None":
        """The best trial by the last value of the metric."""
        return self.best(None, None, "last")

    def _required_best(self) -> Trial:
        trial = self.best_trial
        if trial is None:
            raise RuntimeError(f"no trial has a value of `{self.default_metric}`")
        return trial

    @property
    def best_config(self) -> "dict[str, Any]":
        """The configuration of the best trial."""
        return self._required_best().config

    @property
    def best_result(self) -> "dict[str, Any]":
        """The last report of the best trial."""
        return self._required_best().last_result

    @property
    def best_logdir(self) -> str:
        """The folder of the best trial."""
        return self._required_best().path

    @property
    def best_checkpoint(self) -> "Checkpoint | None":
        """The checkpoint of the best trial that was saved with its best report."""
        return self.get_best_checkpoint(self._required_best())

    @property
    def best_dataframe(self) -> Any:
        """All reports of the best trial."""
        return _frame_of(self._required_best())

    @property
    def best_result_df(self) -> Any:
        """The last report of the best trial as a data frame of one row."""
        best = Selection(self.experiment_path, [self._required_best()], None, None)
        return best.frame(None, None).set_index("trial_id")

    @property
    def results(self) -> "dict[str, dict]":
        """The last report of each trial, by its id."""
        return {trial.trial_id: trial.last_result for trial in self._trials}

    @property
    def results_df(self) -> Any:
        """The last report of each trial as a data frame."""
        return self.frame(None, None).set_index("trial_id")

    @property
    def trial_dataframes(self) -> "dict[str, Any]":
        """All reports of each trial, by its id."""
        return {trial.trial_id: _frame_of(trial) for trial in self._trials}

    def dataframe(self, metric: "str | None" = None, mode: "str | None" = None) -> Any:
        """Returns a data frame with a row for each trial, its last or its best report."""
        return self.frame(metric, mode or self.default_mode)

    def __repr__(self) -> str:
        return f"<tune analysis of {len(self._trials)} trials in {self.experiment_path}>"
