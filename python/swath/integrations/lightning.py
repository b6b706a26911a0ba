"""Lightning: ``Trainer(callbacks=[SwathCallback()])``; ``lightning`` or ``pytorch_lightning``."""

from __future__ import annotations

from typing import Any

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:
    from pytorch_lightning.callbacks import Callback

from . import report


class SwathCallback(Callback):
    """Reports the logged metrics of every epoch from rank 0, and ends the training of all ranks."""

    def _report(self, trainer: Any) -> None:
        if trainer.sanity_checking:
            return
        stops = False
        if trainer.is_global_zero:
            stops = report(dict(trainer.callback_metrics), "epoch", trainer.current_epoch + 1)
        # One rank that leaves alone would let the others wait for it for ever.
        trainer.should_stop = trainer.strategy.reduce_boolean_decision(
            trainer.should_stop or stops, all=False
        )

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._report(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        # With validation its end has the metrics of the epoch.
        if not trainer.enable_validation:
            self._report(trainer)
