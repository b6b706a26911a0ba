"""PyTorch Ignite: ``SwathHandler(trainer).attach(evaluator)``."""

from __future__ import annotations

from typing import Any

from ignite.engine import Events

from . import report_from_rank_0


class SwathHandler:
    """Reports the metrics of an evaluator after each of its runs, with the trainer's epoch.

    In distributed training the evaluator must run in all ranks, as its metrics need.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def attach(self, evaluator: Any) -> "SwathHandler":
        evaluator.add_event_handler(Events.COMPLETED, self)
        return self

    def __call__(self, evaluator: Any) -> None:
        if report_from_rank_0(dict(evaluator.state.metrics), "epoch", self.trainer.state.epoch):
            self.trainer.terminate()
