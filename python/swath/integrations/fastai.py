"""fastai: ``learn.fit(..., cbs=[SwathCallback()])``."""

from __future__ import annotations

from fastai.callback.core import Callback, CancelFitException

from . import report


class SwathCallback(Callback):
    """Reports the recorded values of every epoch, and ends the fit when the scheduler says so."""

    # After fastai's Recorder, which computes the values.
    order = 60

    def after_epoch(self) -> None:
        names = self.recorder.metric_names[1:]
        values = dict(zip(names, self.recorder.log[1:]))
        values.pop("time", None)
        if report(values, "epoch", self.epoch + 1):
            raise CancelFitException
