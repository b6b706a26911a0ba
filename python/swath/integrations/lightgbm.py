"""LightGBM: ``lightgbm.train(..., callbacks=[SwathCallback()])``."""

from __future__ import annotations

from lightgbm.callback import CallbackEnv, EarlyStopException

from . import ITERATION, report


class SwathCallback:
    """Reports the evaluation of every ``every``-th iteration as ``<data>_<metric>``.

    Ends the training by LightGBM's own early stopping, so that the model has the best iteration up
    to then.
    """

    # After the callbacks that record evaluations, as LightGBM's own early stopping.
    order = 25
    before_iteration = False

    def __init__(self, every: int = 1) -> None:
        self.every = every

    def __call__(self, env: CallbackEnv) -> None:
        iteration = env.iteration - env.begin_iteration + 1
        results = env.evaluation_result_list or []
        if not results or iteration % self.every:
            return
        values = {f"{data}_{metric}".replace(" ", "_"): value for data, metric, value, *_ in results}
        if report(values, ITERATION, iteration):
            raise EarlyStopException(env.iteration, results)
