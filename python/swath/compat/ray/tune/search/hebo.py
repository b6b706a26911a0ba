"""``ray.tune.search.hebo``: the sampler ``auto``."""

from ..._search import HEBOSearch

__all__ = ["HEBOSearch"]
