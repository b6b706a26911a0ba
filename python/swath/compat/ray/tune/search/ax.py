"""``ray.tune.search.ax``: the sampler ``gp``."""

from ..._search import AxSearch

__all__ = ["AxSearch"]
