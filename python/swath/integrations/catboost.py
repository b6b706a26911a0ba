"""CatBoost: ``model.fit(..., callbacks=[SwathCallback()])``."""

from __future__ import annotations

from typing import Any

from . import ITERATION, report


class SwathCallback:
    """Reports the evaluation of every ``every``-th iteration as ``<data>_<metric>``."""

    def __init__(self, every: int = 1) -> None:
        self.every = every

    def after_iteration(self, info: Any) -> bool:
        if info.iteration % self.every or not info.metrics:
            return True
        values = {
            f"{data}_{metric}": history[-1]
            for data, metrics in info.metrics.items()
            for metric, history in metrics.items()
        }
        return not report(values, ITERATION, info.iteration)
