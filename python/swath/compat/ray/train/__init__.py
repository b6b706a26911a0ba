"""``ray.train``, as far as functions of Ray Tune use it."""

from ..._unsupported import attribute_error_for
from .._results import Result
from .._run import CheckpointConfig, FailureConfig, RunConfig
from .._session import Checkpoint, Context, get_checkpoint, get_context, report

TrainContext = Context

__all__ = [
    "Checkpoint",
    "CheckpointConfig",
    "FailureConfig",
    "Result",
    "RunConfig",
    "TrainContext",
    "get_checkpoint",
    "get_context",
    "report",
]

_WORKERS = (
    "workers that share a trial are not supported: a trial of a function is one process",
    "make the function a script, and name torchrun or accelerate in `command` of a sweep file",
)
__getattr__ = attribute_error_for(
    __name__,
    {
        "ScalingConfig": _WORKERS,
        "DataConfig": _WORKERS,
        "get_dataset_shard": _WORKERS,
        "torch": _WORKERS,
        "lightning": _WORKERS,
        "huggingface": _WORKERS,
        "SyncConfig": ("a study is not synchronised", "name a shared folder in storage_path"),
    },
)
