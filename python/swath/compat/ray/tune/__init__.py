"""``ray.tune``: search spaces, runs and results."""

from __future__ import annotations

from ..._unsupported import attribute_error_for
from .._callbacks import Callback
from .._results import ExperimentAnalysis, Result, ResultGrid, Trial, TuneError
from .._run import (
    CheckpointConfig,
    FailureConfig,
    RunConfig,
    Stopper,
    TuneConfig,
    Tuner,
    run,
    with_parameters,
    with_resources,
)
from .._schedulers import create_scheduler
from .._search import create_searcher
from .._session import (
    Checkpoint,
    Trainable,
    checkpoint_dir,
    get_checkpoint,
    get_context,
    get_trial_dir,
    get_trial_id,
    get_trial_name,
    get_trial_resources,
    is_session_enabled,
    report,
)
from .._session import Context as TuneContext
from .._space import (
    choice,
    grid_search,
    lograndint,
    loguniform,
    qlograndint,
    qloguniform,
    qrandint,
    qrandn,
    quniform,
    randint,
    randn,
    sample_from,
    uniform,
)
from . import callback, logger, schedulers, search

__all__ = [
    "Callback",
    "Checkpoint",
    "CheckpointConfig",
    "ExperimentAnalysis",
    "FailureConfig",
    "Result",
    "ResultGrid",
    "RunConfig",
    "Stopper",
    "Trainable",
    "Trial",
    "TuneConfig",
    "TuneContext",
    "TuneError",
    "Tuner",
    "callback",
    "checkpoint_dir",
    "choice",
    "create_scheduler",
    "create_searcher",
    "get_checkpoint",
    "get_context",
    "get_trial_dir",
    "get_trial_id",
    "get_trial_name",
    "get_trial_resources",
    "grid_search",
    "is_session_enabled",
    "logger",
    "lograndint",
    "loguniform",
    "qlograndint",
    "qloguniform",
    "qrandint",
    "qrandn",
    "quniform",
    "randint",
    "randn",
    "report",
    "run",
    "sample_from",
    "schedulers",
    "search",
    "uniform",
    "with_parameters",
    "with_resources",
]

_REGISTRY = ("there is no registry of names", "give the function or the class itself to tune.run")
_EXPERIMENTS = (
    "several experiments in one call are not supported",
    "call tune.run for each of them, with a name of its own",
)
_REPORTER = (
    "the table of progress is not configurable",
    "leave progress_reporter out; `swath top STUDY` shows the trials as they run",
)
__getattr__ = attribute_error_for(
    __name__,
    {
        "register_env": _REGISTRY,
        "register_trainable": _REGISTRY,
        "run_experiments": _EXPERIMENTS,
        "Experiment": _EXPERIMENTS,
        "CLIReporter": _REPORTER,
        "JupyterNotebookReporter": _REPORTER,
        "ProgressReporter": _REPORTER,
        "PlacementGroupFactory": (
            "placement groups are not supported: a trial of a function is one process",
            "name the resources of a trial: {'cpu': 2}",
        ),
        "ResumeConfig": (
            "there is nothing to configure: a study continues by its name",
            "make the same call again",
        ),
        "SyncConfig": ("a study is not synchronised", "name a shared folder in storage_path"),
    },
)
