"""``tune.run`` and ``tune.Tuner``: a study whose trials are calls of a function."""

from __future__ import annotations

import datetime
import json
import multiprocessing
import os
import time
import warnings
from typing import Any, Callable, Mapping

from ... import _optimize, _records
from ..._study import Study
from .._unsupported import Unsupported, refuse
from . import _session
from ._callbacks import Callback, callbacks_of
from ._results import ExperimentAnalysis, ResultGrid, Trial, TuneError, trials_of
from ._schedulers import scheduler_of
from ._search import searcher_of
from ._session import CONFIG_FILE, ITERATION
from ._space import Space

# Options that change how a run looks or where it writes, but not its results.
_WITHOUT_EFFECT = frozenset(
    "progress_reporter log_to_file trial_name_creator trial_dirname_creator sync_config "
    "reuse_actors resume chdir_to_trial_dir resume_config".split()
)
_REFUSED = {
    "storage_filesystem": (
        "a study is a folder of a local or shared file system",
        "name the folder in storage_path",
    ),
    "export_formats": ("models are not exported at the end", "save them in the function"),
    "restore": (
        "a trial cannot start from a checkpoint of another study",
        "give the path to the function: tune.with_parameters(function, start=path)",
    ),
}


class RunConfig:
    """Where and how a `Tuner` runs: name, folder, stop criterion, callbacks."""

    def __init__(
        self,
        name: "str | None" = None,
        storage_path: "str | os.PathLike[str] | None" = None,
        stop: Any = None,
        callbacks: "list | None" = None,
        failure_config: "FailureConfig | None" = None,
        checkpoint_config: "CheckpointConfig | None" = None,
        verbose: "int | None" = None,
        local_dir: "str | os.PathLike[str] | None" = None,
        **options: Any,
    ) -> None:
        _check_options(options)
        self.name, self.storage_path = name, storage_path if storage_path else local_dir
        self.stop, self.callbacks, self.verbose = stop, callbacks, verbose
        self.failure_config = failure_config or FailureConfig()
        self.checkpoint_config = checkpoint_config or CheckpointConfig()


class TuneConfig:
    """What a `Tuner` searches for, and how: metric, samples, algorithm, scheduler."""

    def __init__(
        self,
        metric: "str | None" = None,
        mode: "str | None" = None,
        search_alg: Any = None,
        scheduler: Any = None,
        num_samples: int = 1,
        max_concurrent_trials: "int | None" = None,
        time_budget_s: Any = None,
        **options: Any,
    ) -> None:
        _check_options(options)
        self.metric, self.mode = metric, mode
        self.search_alg, self.scheduler = search_alg, scheduler
        self.num_samples, self.max_concurrent_trials = num_samples, max_concurrent_trials
        self.time_budget_s = time_budget_s


class FailureConfig:
    """How failures are handled. Only the default is supported: a failed trial stays failed."""

    def __init__(self, max_failures: int = 0, fail_fast: "bool | str" = False) -> None:
        _check_failures(max_failures)
        self.fail_fast = bool(fail_fast)


class CheckpointConfig:
    """Which checkpoints stay in the folder of a trial."""

    def __init__(
        self,
        num_to_keep: "int | None" = None,
        checkpoint_score_attribute: "str | None" = None,
        checkpoint_score_order: str = "max",
        checkpoint_frequency: int = 0,
        checkpoint_at_end: "bool | None" = None,
    ) -> None:
        if checkpoint_score_order not in ("min", "max"):
            raise ValueError(f"the order is {checkpoint_score_order!r}; it can be 'min' or 'max'")
        self.num_to_keep = num_to_keep
        self.score: "tuple[str, str] | None" = None
        if checkpoint_score_attribute is not None:
            self.score = (checkpoint_score_attribute, checkpoint_score_order)
        self.frequency, self.at_end = checkpoint_frequency or 0, bool(checkpoint_at_end)


class Stopper:
    """A stop criterion of one's own: ``__call__(trial_id, result)`` says whether a trial ends.

    It is called in the process of the trial, so that it knows the reports of that trial only.
    """

    def __call__(self, trial_id: str, result: "dict[str, Any]") -> bool:
        raise NotImplementedError("a Stopper needs a method `__call__`")

    def stop_all(self) -> bool:
        """Says whether all trials end. Not supported: see the page `docs/coming-from.md`."""
        return False


class _Limits:
    """The stop criterion ``{"training_iteration": 10}``: a value that was reached."""

    def __init__(self, limits: "Mapping[str, float]") -> None:
        self.limits = dict(limits)

    def __call__(self, trial_id: str, result: "dict[str, Any]") -> bool:
        for name, limit in self.limits.items():
            if name not in result:
                raise TuneError(
                    f"the stop criterion names `{name}`, which was not reported",
                    f"report it, or use one of: {', '.join(sorted(result))}",
                )
            if result[name] >= limit:
                return True
        return False


def _stop_criterion(stop: Any) -> "Callable[[str, dict], bool] | None":
    if isinstance(stop, Mapping):
        return _Limits(stop) if stop else None
    if isinstance(stop, Stopper) and type(stop).stop_all is not Stopper.stop_all:
        raise Unsupported(
            "a Stopper that ends all trials is not supported: it runs in the process of a trial",
            "use `target` or `patience` of a sweep file, or time_budget_s",
        )
    if stop is not None and not callable(stop):
        raise TypeError("`stop` is a dictionary, a function or a Stopper")
    return stop


def with_parameters(trainable: Any, **parameters: Any) -> Any:
    """Returns the function with further arguments, such as data sets, for every trial."""
    if isinstance(trainable, type):
        raise Unsupported(
            "a class with further parameters is not supported",
            "give the values as constants of the configuration: config={'data': data, …}",
        )
    return _WithParameters(trainable, parameters)


class _WithParameters:
    def __init__(self, function: Any, parameters: "dict[str, Any]") -> None:
        self.function, self.parameters = function, parameters
        self.__name__ = getattr(function, "__name__", "function")
        self.resources = getattr(function, "resources", None)

    def __call__(self, config: "dict[str, Any]") -> Any:
        return self.function(config, **self.parameters)


def with_resources(trainable: Any, resources: "Mapping[str, float]") -> Any:
    """Returns the function with the resources that a trial needs: ``{"cpu": 2}``."""
    if isinstance(trainable, type):
        raise Unsupported(
            "a class with resources is not supported",
            "name them in the call: tune.run(…, resources_per_trial={'cpu': 2})",
        )
    result = _WithParameters(trainable, {})
    result.resources = resources
    return result


class _Work:
    """The function of a study: finds the configuration, and calls the function of the user."""

    def __init__(self, trainable: Any, space: Space, stop: Any, options: "dict[str, Any]") -> None:
        self.trainable, self.space, self.stop, self.options = trainable, space, stop, options

    # The argument has a name that no parameter has: it gets the trial.
    def __call__(self, swath_trial_, /) -> None:
        trial = swath_trial_
        config = self.space.resolve(trial.params)
        _write_config(config)
        for path in self.options["data_dirs"]:
            _records.dataset(path)
        checkpoints: CheckpointConfig = self.options["checkpoints"]
        session = _session.Session(
            trial,
            config,
            metric=self.options["metric"],
            resources=self.options["resources"],
            stop=self.stop,
            kept=checkpoints.num_to_keep,
            score=checkpoints.score,
        )
        _session.run_trainable(self.trainable, session, checkpoints.frequency, checkpoints.at_end)


def _write_config(config: "dict[str, Any]") -> None:
    """Stores the configuration in the trial's folder; values that JSON lacks as ``null``."""
    folder = os.environ.get("SWATH_TRIAL_DIR")
    if folder:
        with open(os.path.join(folder, CONFIG_FILE), "w", encoding="utf-8") as file:
            json.dump(config, file, default=_none, skipkeys=True)


def _none(value: Any) -> None:
    return None


class _TuneRun(_optimize._Run):
    """The loop of `swath.optimize`, which also calls callbacks and fails at the first failure."""

    def __init__(
        self, *arguments: Any, callbacks: "list[Callback]", fail_fast: bool, space: Space
    ) -> None:
        super().__init__(*arguments)
        self.callbacks, self.fail_fast, self.space = callbacks, fail_fast, space
        self.trials: "dict[int, Trial]" = {}

    def wait(self, deadline: "float | None") -> None:
        if self.callbacks:
            for running in self.running:
                if running.offer.trial not in self.trials:
                    self._tell("on_trial_start", self._trial(running.offer))
        super().wait(deadline)

    def _trial(self, offer: Any) -> Trial:
        trial = self.trials.get(offer.trial)
        if trial is None:
            config = _resolved(self.space, offer.params)
            trial = self.trials[offer.trial] = Trial(offer.trial, config, offer.folder or "")
        return trial

    def _tell(self, method: str, trial: Trial, **further: Any) -> None:
        trials = list(self.trials.values())
        iteration = len(trial.reports)
        for callback in self.callbacks:
            handler = getattr(callback, method, None)
            if handler is not None:
                handler(iteration=iteration, trials=trials, trial=trial, **further)

    def reported(self, running: Any, values: Any, step: Any) -> None:
        if self.callbacks and not running.is_stopped:
            trial = self._trial(running.offer)
            trial.reports.append(values)
            self._tell("on_trial_result", trial, result=trial.last_result)
        super().reported(running, values, step)

    def failed(self, running: Any, why: str, text: str) -> None:
        super().failed(running, why, text)
        if self.fail_fast:
            raise TuneError(f"trial {running.offer.trial} failed:\n{text}")

    def done(self, running: Any, value: Any, state: Any, why: Any) -> None:
        super().done(running, value, state, why)
        if self.callbacks and state != "waiting":
            trial = self._trial(running.offer)
            trial.status = "ERROR" if state == "failed" else "TERMINATED"
            trial.error = TuneError(why) if state == "failed" else None
            method = "on_trial_error" if state == "failed" else "on_trial_complete"
            self._tell(method, trial)


def _resolved(space: Space, params: "Mapping[str, Any]") -> "dict[str, Any]":
    """Returns the configuration of a trial; its parameters if a function of the space fails."""
    try:
        return space.resolve(params)
    except Exception:
        return dict(params)


def _execute(
    trainable: Any,
    config: "Mapping[str, Any]",
    tune: TuneConfig,
    run: RunConfig,
    resources: "Mapping[str, float] | None",
) -> "tuple[str, list[Trial], str | None, str | None]":
    """Runs the trials. Returns the study's folder, its trials, the metric and the mode."""
    if not callable(trainable):
        raise Unsupported(
            f"the trainable is {trainable!r}, and names of registered trainables are not known",
            "give the function itself",
        )
    resources = resources or getattr(trainable, "resources", None)
    searcher, scheduler = searcher_of(tune.search_alg), scheduler_of(tune.scheduler)
    metric = tune.metric or searcher.metric or scheduler.metric
    mode = tune.mode or searcher.mode or scheduler.mode
    if (metric is None) != (mode is None):
        raise ValueError("name both the metric and the mode, 'min' or 'max', or neither")
    if metric is None and (searcher.sampler != "random" or scheduler.table is not None):
        raise ValueError(
            "a search algorithm and a scheduler need the metric that they compare: "
            "metric='loss', mode='min'"
        )
    space = Space({**(searcher.space or {}), **config})
    combinations = space.grid()
    points = [space.point(point) for point in searcher.points]
    trials = _number_of_trials(tune, len(combinations))
    loggers, callbacks = callbacks_of(run.callbacks)
    study = Study(
        run.name or _fresh_name(trainable, run.storage_path),
        space=space.entries,
        logs=run.storage_path,
        jobs=(jobs := _jobs(tune, searcher, resources)),
        # Without a metric there is no best trial: all of them are drawn at random, and count as
        # equal by the number of their reports.
        metric=metric or ITERATION,
        goal=mode or "max",
        trials=trials,
        sampler=searcher.sampler,
        seed=searcher.seed,
        scheduler=scheduler.table,
        tables=_tables(loggers),
    )
    options = {
        "metric": metric,
        "resources": resources,
        "checkpoints": run.checkpoint_config,
        "data_dirs": [logger.data_dir for logger in loggers if logger.data_dir is not None],
    }
    work = _Work(trainable, space, _stop_criterion(run.stop), options)
    with study:
        if space.grids or points:
            _add(study, points, combinations, trials)
        for callback in callbacks:
            if hasattr(callback, "setup"):
                callback.setup(stop=run.stop, num_samples=tune.num_samples)
        loop = _TuneRun(
            study,
            work,
            multiprocessing.get_context(_optimize._default_start()),
            None,
            jobs,
            None,
            _optimize._Board(study, trials or 0) if run.verbose != 0 else None,
            callbacks=callbacks,
            fail_fast=run.failure_config.fail_fast,
            space=space,
        )
        _optimize._until_the_end(loop, _seconds(tune.time_budget_s))
        for callback in callbacks:
            if hasattr(callback, "on_experiment_end"):
                callback.on_experiment_end(trials=list(loop.trials.values()))
    return study.dir, trials_of(study.dir, space.resolve), metric, mode


def _tables(loggers: list) -> "dict[str, Any]":
    """Returns the further tables of the sweep file: trackers, and that the last report counts."""
    tables: "dict[str, Any]" = {"objective": {"take": "last"}}
    for logger in loggers:
        tables.update(logger.keys)
    trackers = [logger.tracker for logger in loggers if logger.tracker is not None]
    if trackers:
        tables["tracker"] = trackers
    return tables


def _number_of_trials(tune: TuneConfig, combinations: int) -> "int | None":
    if tune.num_samples == -1:
        if tune.time_budget_s is None:
            raise Unsupported(
                "num_samples=-1 without a time budget would never end",
                "give time_budget_s, or a number of samples",
            )
        if combinations > 1:
            raise Unsupported(
                "num_samples=-1 with a grid is not supported", "give a number of samples"
            )
        return None
    if tune.num_samples < 1:
        raise ValueError("num_samples is a whole number from 1, or -1")
    return tune.num_samples * combinations


def _add(
    study: Study,
    points: "list[dict]",
    combinations: "list[dict]",
    trials: "int | None",
) -> None:
    """Adds the configurations that are named; the study draws the parameters they leave open.

    A study that is continued has the first of them.
    """
    wanted = list(points)
    if len(combinations) > 1 or combinations[0]:
        while len(wanted) < (trials or 0):
            wanted.extend(combinations)
    present = sum(1 for _ in study.read())
    for configuration in wanted[present:trials]:
        study.add(configuration, again=True)


def _jobs(tune: TuneConfig, searcher: Any, resources: "Mapping[str, float] | None") -> int:
    """Returns the number of trials at a time: as many as the processors allow by default."""
    named = tune.max_concurrent_trials or searcher.max_concurrent
    if hasattr(resources, "bundles"):
        raise Unsupported(
            "placement groups are not supported: a trial of a function is one process",
            "name the resources of a trial: {'cpu': 2}",
        )
    resources = {str(name).lower(): amount for name, amount in (resources or {}).items()}
    if resources.get("gpu"):
        if not named:
            warnings.warn(
                "GPUs are not divided among the trials of a function, so that one runs at a time; "
                "max_concurrent_trials says otherwise, and `swath run` with `gpus = 1` in "
                "[resources] gives each trial a device of its own",
                _records.SwathWarning,
                stacklevel=4,
            )
        return named or 1
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    processors = processors or os.cpu_count() or 1
    possible = max(int(processors / (resources.get("cpu") or 1)), 1)
    return min(named, possible) if named else possible


def _fresh_name(trainable: Any, logs: "str | os.PathLike[str] | None") -> str:
    """Returns a name that no study has: that of the function, and the time."""
    name = getattr(trainable, "__name__", "function").strip("<>")
    name = f"{name}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    folder = os.fspath(logs) if logs is not None else os.environ.get("SWATH_LOGS") or "logs"
    number, fresh = 1, name
    while os.path.exists(os.path.join(folder, fresh)):
        number += 1
        fresh = f"{name}-{number}"
    return fresh


def _seconds(budget: Any) -> "float | None":
    if isinstance(budget, datetime.timedelta):
        return budget.total_seconds()
    return None if budget is None else float(budget)


def _check_options(options: "Mapping[str, Any]") -> None:
    refuse(
        {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT}, _REFUSED
    )


def _check_failures(max_failures: int) -> None:
    if max_failures:
        raise Unsupported(
            "a trial of a function is not tried again by itself",
            "`swath retry STUDY failed` lets failed trials run again when the study continues",
        )


def run(
    run_or_experiment: Any,
    *,
    name: "str | None" = None,
    metric: "str | None" = None,
    mode: "str | None" = None,
    stop: Any = None,
    time_budget_s: Any = None,
    config: "Mapping[str, Any] | None" = None,
    resources_per_trial: "Mapping[str, float] | None" = None,
    num_samples: int = 1,
    storage_path: "str | os.PathLike[str] | None" = None,
    local_dir: "str | os.PathLike[str] | None" = None,
    search_alg: Any = None,
    scheduler: Any = None,
    checkpoint_config: "CheckpointConfig | None" = None,
    keep_checkpoints_num: "int | None" = None,
    checkpoint_score_attr: "str | None" = None,
    checkpoint_freq: int = 0,
    checkpoint_at_end: bool = False,
    verbose: "int | None" = None,
    max_failures: int = 0,
    fail_fast: "bool | str" = False,
    raise_on_failed_trial: bool = True,
    callbacks: "list | None" = None,
    max_concurrent_trials: "int | None" = None,
    **options: Any,
) -> ExperimentAnalysis:
    """Runs the trials of a function of one argument, the configuration, and returns the results.

    The study is in ``storage_path``, by default ``logs``. With a ``name`` the same call continues
    it; without one each call is a study of its own. ``time_budget_s`` is in seconds.

    Raises `TuneError` if a trial failed, unless ``raise_on_failed_trial`` is false, `SwathError` if
    the first three trials fail with the same error, and `Unsupported` for an option without a
    counterpart.
    """
    _check_options(options)
    if checkpoint_config is None:
        score, order = checkpoint_score_attr, "max"
        if score is not None and score.startswith("min-"):
            score, order = score[len("min-") :], "min"
        checkpoint_config = CheckpointConfig(
            keep_checkpoints_num, score, order, checkpoint_freq, checkpoint_at_end
        )
    path, trials, metric, mode = _execute(
        run_or_experiment,
        config or {},
        TuneConfig(
            metric, mode, search_alg, scheduler, num_samples, max_concurrent_trials, time_budget_s
        ),
        RunConfig(
            name,
            storage_path if storage_path is not None else local_dir,
            stop,
            callbacks,
            FailureConfig(max_failures, fail_fast),
            checkpoint_config,
            verbose,
        ),
        resources_per_trial,
    )
    failed = [trial.trial_id for trial in trials if trial.error is not None]
    if failed and raise_on_failed_trial:
        raise TuneError(
            f"these trials failed: {', '.join(failed)}",
            f"`swath ls {path}` shows why; raise_on_failed_trial=False returns the others",
        )
    return ExperimentAnalysis(path, trials, metric, mode)


class Tuner:
    """Runs the trials of a function; `fit` returns the results."""

    def __init__(
        self,
        trainable: Any = None,
        *,
        param_space: "Mapping[str, Any] | None" = None,
        tune_config: "TuneConfig | None" = None,
        run_config: "RunConfig | None" = None,
    ) -> None:
        self._trainable, self._space = trainable, param_space or {}
        self._tune, self._run = tune_config or TuneConfig(), run_config or RunConfig()
        self._results: "ResultGrid | None" = None

    def fit(self) -> ResultGrid:
        """Runs the trials. A trial that fails is among the results, with its error."""
        path, trials, metric, mode = _execute(
            self._trainable, self._space, self._tune, self._run, None
        )
        self._results = ResultGrid(path, trials, metric, mode)
        return self._results

    def get_results(self) -> ResultGrid:
        """Returns the results of `fit`. Raises `RuntimeError` before it."""
        if self._results is None:
            raise RuntimeError("call `fit` first")
        return self._results

    @classmethod
    def restore(
        cls, path: "str | os.PathLike[str]", trainable: Any = None, **options: Any
    ) -> "Tuner":
        """Not supported: raises `Unsupported`."""
        raise Unsupported(
            "Tuner.restore is not needed: a study continues by its name",
            "call Tuner(…, run_config=RunConfig(name=…)).fit() again with the same arguments",
        )

    @classmethod
    def can_restore(cls, path: "str | os.PathLike[str]", **options: Any) -> bool:
        """Returns ``False``: the same call continues a study by itself."""
        return False
