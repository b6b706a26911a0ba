"""``ray.tune.search.nevergrad``: the sampler ``auto``."""

from ..._search import NevergradSearch

__all__ = ["NevergradSearch"]
