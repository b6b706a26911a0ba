"""The schedulers of Ray Tune as ``[scheduler]`` of a sweep file."""

from __future__ import annotations

from typing import Any, Mapping

from .._unsupported import Unsupported
from ._session import ITERATION


class TrialScheduler:
    """A scheduler. ``table`` is ``[scheduler]`` of a sweep file, ``None`` for none."""

    table: "dict[str, Any] | None" = None
    metric: "str | None" = None
    mode: "str | None" = None


class FIFOScheduler(TrialScheduler):
    """Every trial runs to its own end."""


class AsyncHyperBandScheduler(TrialScheduler):
    """``asha``; with several brackets ``hyperband``."""

    def __init__(
        self,
        time_attr: str = ITERATION,
        metric: "str | None" = None,
        mode: "str | None" = None,
        max_t: int = 100,
        grace_period: int = 1,
        reduction_factor: float = 4,
        brackets: int = 1,
        stop_last_trials: bool = True,
    ) -> None:
        self.metric, self.mode = metric, mode
        self.table = {
            "name": "asha",
            "resource": time_attr,
            "min": int(grace_period),
            "max": int(max_t),
            "reduction": _whole(reduction_factor),
        }
        if brackets > 1:
            self.table.update(name="hyperband", brackets=int(brackets))


ASHAScheduler = AsyncHyperBandScheduler


class HyperBandScheduler(TrialScheduler):
    """``hyperband``. It stops trials, and does not pause them."""

    def __init__(
        self,
        time_attr: str = ITERATION,
        metric: "str | None" = None,
        mode: "str | None" = None,
        max_t: int = 81,
        reduction_factor: float = 3,
        stop_last_trials: bool = True,
    ) -> None:
        self.metric, self.mode = metric, mode
        self.table = {
            "name": "hyperband",
            "resource": time_attr,
            "max": int(max_t),
            "reduction": _whole(reduction_factor),
        }


# Hyperband with the sampler that Ray pairs with it under the name BOHB.
HyperBandForBOHB = HyperBandScheduler


class MedianStoppingRule(TrialScheduler):
    """``median``. ``min_samples_required`` is the number of complete trials it needs."""

    def __init__(
        self,
        time_attr: str = "time_total_s",
        metric: "str | None" = None,
        mode: "str | None" = None,
        grace_period: float = 60.0,
        min_samples_required: int = 3,
        min_time_slice: int = 0,
        hard_stop: bool = True,
    ) -> None:
        if not hard_stop:
            raise Unsupported(
                "hard_stop=False is not supported: a trial cannot be paused in the middle",
                "leave it out",
            )
        self.metric, self.mode = metric, mode
        self.table = {
            "name": "median",
            "resource": time_attr,
            "min": float(grace_period),
            "peers": int(min_samples_required),
        }


def _whole(factor: float) -> int:
    if factor != int(factor):
        raise Unsupported(
            f"the reduction factor is {factor}; only whole numbers are supported",
            "use 2, 3 or 4",
        )
    return int(factor)


_POPULATION = (
    "a population of functions is not supported: its copies need the checkpoints of their parents",
    "make the function a script that saves checkpoints, and let `swath run` run it with the "
    "scheduler `pbt`; sweeps/pbt.toml is an example",
)
REASONS: "Mapping[str, tuple[str, str]]" = {
    "PopulationBasedTraining": _POPULATION,
    "PopulationBasedTrainingReplay": _POPULATION,
    "PB2": _POPULATION,
    "ResourceChangingScheduler": (
        "the resources of a trial do not change while it runs",
        "give resources_per_trial the resources that a trial needs",
    ),
}

_NAMES = {
    "fifo": FIFOScheduler,
    "asha": AsyncHyperBandScheduler,
    "async_hyperband": AsyncHyperBandScheduler,
    "asynchyperband": AsyncHyperBandScheduler,
    "hyperband": HyperBandScheduler,
    "median_stopping_rule": MedianStoppingRule,
    "medianstopping": MedianStoppingRule,
}


def create_scheduler(scheduler: str, **options: Any) -> TrialScheduler:
    """Returns the scheduler of a name, as Ray Tune names it."""
    if scheduler in ("pbt", "pb2"):
        raise Unsupported(*_POPULATION)
    if scheduler not in _NAMES:
        raise ValueError(f"the scheduler is {scheduler!r}; it can be {', '.join(_NAMES)}")
    return _NAMES[scheduler](**options)


def scheduler_of(scheduler: Any) -> TrialScheduler:
    """Returns a scheduler from what a call names."""
    if scheduler is None:
        return FIFOScheduler()
    if isinstance(scheduler, str):
        return create_scheduler(scheduler)
    if isinstance(scheduler, TrialScheduler):
        return scheduler
    raise Unsupported(
        f"the scheduler {type(scheduler).__name__} is not one of swath.compat.ray.tune.schedulers",
        "import the scheduler from there, or write one as a program in any language: "
        "docs/search-programs.md",
    )
