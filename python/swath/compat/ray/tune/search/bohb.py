"""``ray.tune.search.bohb``: the sampler ``tpe``."""

from ..._search import TuneBOHB

__all__ = ["TuneBOHB"]
