"""``ray.tune.search.basic_variant``: the sampler ``random``."""

from ..._search import BasicVariantGenerator

__all__ = ["BasicVariantGenerator"]
