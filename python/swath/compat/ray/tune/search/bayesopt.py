"""``ray.tune.search.bayesopt``: the sampler ``gp``."""

from ..._search import BayesOptSearch

__all__ = ["BayesOptSearch"]
