"""Hugging Face: ``Trainer(..., callbacks=[SwathCallback()])``."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from . import report


class SwathCallback(TrainerCallback):
    """Reports every evaluation with its epoch, and ends the training when the scheduler says so."""

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any):
        if state.is_world_process_zero:
            values = {**(metrics or {}), "step": state.global_step}
            values.pop("epoch", None)
            if report(values, "epoch", state.epoch or 0):
                control.should_training_stop = True
        return control
