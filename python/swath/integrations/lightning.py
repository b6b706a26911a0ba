"""Lightning: ``Trainer(callbacks=[SwathCallback()])``; ``lightning`` or ``pytorch_lightning``."""

from __future__ import annotations

from typing import Any

try:
    from lightning.pytorch.callbacks import EarlyStopping
except ImportError:
    from pytorch_lightning.callbacks import EarlyStopping

from . import report


class SwathCallback(EarlyStopping):
    """Reports the logged metrics of every epoch from rank 0, and ends the training of all ranks.

    With several validations in an epoch it reports each of them, with a fraction of the epoch.
    """

    # Lightning calls early stopping after the hooks of the module, which may log metrics, and before
    # checkpoints are saved. Nothing else of the base class is used.
    def __init__(self) -> None:
        super().__init__(monitor="the decision of swath")
        self._is_validated = False

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if trainer.val_check_interval == 1.0:
            # Until the end of the epoch its training metrics are those of the epoch before.
            self._is_validated = True
        else:
            batches = trainer.num_training_batches
            batch = trainer.fit_loop.epoch_loop.batch_idx + 1
            is_known = 0 < batches < float("inf")
            self._report(trainer, min(batch / batches, 1) if is_known else 1)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self._is_validated or not trainer.enable_validation:
            self._is_validated = False
            self._report(trainer, 1)

    def _report(self, trainer: Any, part_of_epoch: float) -> None:
        # In all ranks, since reading the metrics may reduce them over the ranks.
        values = {"step": trainer.global_step, **trainer.callback_metrics}
        epoch = trainer.current_epoch + part_of_epoch
        stops = trainer.is_global_zero and report(values, "epoch", epoch)
        # One rank that leaves alone would let the others wait for it for ever.
        trainer.should_stop = trainer.strategy.reduce_boolean_decision(
            trainer.should_stop or stops, all=False
        )
