"""XGBoost: ``xgboost.train(..., callbacks=[SwathCallback()])``, or the same of its estimators."""

from __future__ import annotations

from typing import Any

from xgboost.callback import TrainingCallback

from . import ITERATION, report


class SwathCallback(TrainingCallback):
    """Reports the evaluation of every ``every``-th round as ``<data>_<metric>``."""

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        self.every = every

    def after_iteration(self, model: Any, epoch: int, evals_log: dict) -> bool:
        if not evals_log or (epoch + 1) % self.every:
            return False
        values = {}
        for data, metrics in evals_log.items():
            for metric, history in metrics.items():
                last = history[-1]
                # Cross-validation has pairs of a mean and a standard deviation.
                values[f"{data}_{metric}"] = last[0] if isinstance(last, tuple) else last
        return report(values, ITERATION, epoch + 1)
