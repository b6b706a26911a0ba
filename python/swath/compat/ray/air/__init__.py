"""``ray.air``, the names that Ray 2 had before ``ray.train`` took them over."""

from .._results import Result
from .._run import CheckpointConfig, FailureConfig, RunConfig
from .._session import Checkpoint
from . import integrations, session

__all__ = [
    "Checkpoint",
    "CheckpointConfig",
    "FailureConfig",
    "Result",
    "RunConfig",
    "integrations",
    "session",
]
