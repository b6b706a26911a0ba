"""Keras: ``model.fit(..., callbacks=[SwathCallback()])``."""

from __future__ import annotations

from typing import Any

import keras

from . import report


class SwathCallback(keras.callbacks.Callback):
    """Reports the logs of every epoch, and ends the training when the scheduler says so."""

    def on_epoch_end(self, epoch: int, logs: "dict[str, Any] | None" = None) -> None:
        if report(dict(logs or {}), "epoch", epoch + 1):
            self.model.stop_training = True
