"""Callbacks of a call of ``tune``: loggers that become trackers, and classes that are called."""

from __future__ import annotations

import os
from typing import Any

from .._unsupported import Unsupported


class Callback:
    """Called in the process of `tune.run` as its trials go on. Override what is needed.

    ``trial`` has ``trial_id``, ``config``, ``status``, ``last_result`` and ``path``.
    """

    def setup(self, stop: Any = None, num_samples: Any = None, **info: Any) -> None:
        """Called once, before the first trial."""

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Called when a trial starts."""

    def on_trial_result(
        self, iteration: int, trials: list, trial: Any, result: dict, **info: Any
    ) -> None:
        """Called at each report."""

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Called when a trial has ended without an error."""

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Called when a trial has failed."""

    def on_experiment_end(self, trials: list, **info: Any) -> None:
        """Called once, after the last trial."""


class LoggerCallback(Callback):
    """A callback with the three methods that a logger needs."""

    def log_trial_start(self, trial: Any) -> None:
        """Called when a trial starts."""

    def log_trial_result(self, iteration: int, trial: Any, result: dict) -> None:
        """Called at each report."""

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Called when a trial has ended."""

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.log_trial_start(trial)

    def on_trial_result(
        self, iteration: int, trials: list, trial: Any, result: dict, **info: Any
    ) -> None:
        self.log_trial_result(iteration, trial, result)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.log_trial_end(trial, failed=False)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.log_trial_end(trial, failed=True)


class Logger(Callback):
    """A logger of which a tracker does the work. ``tracker`` is an entry of ``[[tracker]]``."""

    tracker: "dict[str, Any] | None" = None
    # Keys at the top of the sweep file.
    keys: "dict[str, Any]" = {}
    data_dir: "str | None" = None


class CmfRayLogger(Logger):
    """Writes the metadata of the Common Metadata Framework: the tracker ``cmf``.

    ``data_dir`` is recorded as a data set of each trial. The metadata is written into a folder of
    the study's name beside ``file_path``.
    """

    def __init__(
        self,
        pipeline_name: str,
        file_path: "str | os.PathLike[str]",
        pipeline_stage: str,
        data_dir: "str | os.PathLike[str] | None" = None,
    ) -> None:
        folder = os.path.dirname(os.path.abspath(os.fspath(file_path)))
        self.tracker = {"name": "cmf", "dir": folder}
        self.keys = {"pipeline": str(pipeline_name), "stage": str(pipeline_stage)}
        self.data_dir = None if data_dir is None else os.fspath(data_dir)


class WandbLoggerCallback(Logger):
    """Writes runs for W&B: the tracker ``wandb``. ``wandb sync`` uploads them."""

    def __init__(
        self,
        project: "str | None" = None,
        group: "str | None" = None,
        entity: "str | None" = None,
        tags: "list[str] | None" = None,
        **options: Any,
    ) -> None:
        self.tracker = _tracker("wandb", project=project, group=group, entity=entity, tags=tags)


class MLflowLoggerCallback(Logger):
    """Writes runs for MLflow: the tracker ``mlflow``."""

    def __init__(
        self,
        tracking_uri: "str | None" = None,
        *,
        experiment_name: "str | None" = None,
        **options: Any,
    ) -> None:
        self.tracker = _tracker("mlflow", uri=tracking_uri, experiment=experiment_name)


class TBXLoggerCallback(Logger):
    """Writes event files for TensorBoard: the tracker ``tensorboard``."""

    tracker = {"name": "tensorboard"}


class CSVLoggerCallback(Logger):
    """Does nothing more: ``trials.csv`` and ``swath export --long`` have the table."""


class JsonLoggerCallback(Logger):
    """Does nothing more: ``swath export --long --json`` has the reports as lines of JSON."""


def _tracker(name: str, **options: Any) -> "dict[str, Any]":
    return {"name": name, **{key: value for key, value in options.items() if value is not None}}


def callbacks_of(callbacks: Any) -> "tuple[list[Logger], list[Callback]]":
    """Returns the loggers and the other callbacks of a call.

    Raises `Unsupported` for an object that is neither.
    """
    loggers, others = [], []
    for callback in callbacks or []:
        if isinstance(callback, Logger):
            loggers.append(callback)
        elif type(callback).__name__ == "CmfRayLogger":
            # That of cmflib itself would record into its own file from here.
            loggers.append(_of_cmflib(callback))
        elif hasattr(callback, "on_trial_result"):
            others.append(callback)
        else:
            raise Unsupported(
                f"{type(callback).__name__} is no callback of Ray Tune",
                "derive it from swath.compat.ray.tune.Callback",
            )
    return loggers, others


def _of_cmflib(logger: Any) -> CmfRayLogger:
    try:
        return CmfRayLogger(
            logger.pipeline_name, logger.path, logger.pipeline_stage, logger.data_dir
        )
    except AttributeError as error:
        raise Unsupported(
            f"this CmfRayLogger is not understood: {error}",
            "import it from swath.compat.ray: from swath.compat.ray import cmf_ray_logger",
        ) from None
