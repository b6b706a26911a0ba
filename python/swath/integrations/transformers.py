"""Hugging Face: ``Trainer(..., callbacks=[SwathCallback()])``."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from . import report_from_rank_0


class SwathCallback(TrainerCallback):
    """Reports every evaluation with its epoch, and ends the training when the scheduler says so.

    A training without evaluations reports the losses that it logs.
    """

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any):
        return self._report(metrics or {}, state, control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any):
        # The log at the end of the training has its duration, and no `loss`.
        if args.eval_strategy == "no" and "loss" in (logs or {}):
            return self._report(logs, state, control)
        return control

    def _report(self, metrics: "dict[str, Any]", state: Any, control: Any) -> Any:
        values = {**metrics, "step": state.global_step}
        values.pop("epoch", None)
        if report_from_rank_0(values, "epoch", state.epoch or 0):
            control.should_training_stop = True
        return control
