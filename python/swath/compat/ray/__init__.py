"""The names of Ray Tune, for functions that were written for it.

``from swath.compat.ray import train, tune`` in place of ``from ray import train, tune`` runs the
trials of ``tune.run`` or ``tune.Tuner`` as `swath.optimize` does, each in a process of its own on
this machine. ray need not be installed.
"""

from __future__ import annotations

from typing import Any

from .._unsupported import attribute_error_for
from . import air, cmf_ray_logger, train, tune

__all__ = ["air", "cmf_ray_logger", "init", "is_initialized", "shutdown", "train", "tune"]


def init(*arguments: Any, **options: Any) -> None:
    """Does nothing: there is no cluster to connect to."""


def shutdown(*arguments: Any, **options: Any) -> None:
    """Does nothing: there is no cluster to leave."""


def is_initialized() -> bool:
    """Returns ``True``."""
    return True


_REMOTE = (
    "remote functions and actors are not supported: a trial is one process",
    "call the function itself",
)
_OBJECTS = (
    "there is no object store",
    "give data sets to the trials with tune.with_parameters(function, data=data)",
)
__getattr__ = attribute_error_for(
    __name__, {"remote": _REMOTE, "put": _OBJECTS, "get": _OBJECTS, "wait": _REMOTE}
)
