"""fastai: ``learn.fit(..., cbs=[SwathCallback()])``."""

from __future__ import annotations

from fastai.callback.core import Callback, CancelFitException

from . import report_from_rank_0


class SwathCallback(Callback):
    """Reports the recorded values of every epoch, and ends the fit when the scheduler says so.

    As a callback of the learner it counts on over several fits, such as those of ``fine_tune``.
    """

    # After fastai's callbacks that save models (61) or look at the recorded values (up to 63): the
    # exception that ends the fit keeps later ones from seeing the epoch.
    order = 80

    def __init__(self) -> None:
        super().__init__()
        self._earlier_epochs = 0
        self._epochs = 0
        self._is_trained = False
        self._has_ended = False

    def before_fit(self) -> None:
        self._earlier_epochs = self._epochs

    def before_train(self) -> None:
        # The learning-rate finder trains too; none of its epochs counts.
        if hasattr(self.learn, "lr_finder"):
            return
        if self._has_ended:
            raise CancelFitException
        self._is_trained = True

    def after_epoch(self) -> None:
        # `validate` and `get_preds` have an epoch without training and its columns.
        if not self._is_trained:
            return
        self._is_trained = False
        # The recorder has the epoch's number before the values and the time after them.
        values = dict(zip(self.recorder.metric_names[1:], self.recorder.log[1:]))
        values.pop("time", None)
        self._epochs = self._earlier_epochs + self.epoch + 1
        if report_from_rank_0(values, "epoch", self._epochs):
            self._has_ended = True
            raise CancelFitException
