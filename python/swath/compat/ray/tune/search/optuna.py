"""``ray.tune.search.optuna``: the sampler ``tpe``."""

from ..._search import OptunaSearch

__all__ = ["OptunaSearch"]
