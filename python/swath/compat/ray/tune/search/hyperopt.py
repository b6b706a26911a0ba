"""``ray.tune.search.hyperopt``: the sampler ``tpe``."""

from ..._search import HyperOptSearch

__all__ = ["HyperOptSearch"]
