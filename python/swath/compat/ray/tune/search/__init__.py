"""``ray.tune.search``: its algorithms stand for samplers of swath."""

from ...._unsupported import attribute_error_for
from ..._search import (
    REASONS,
    BasicVariantGenerator,
    ConcurrencyLimiter,
    Searcher,
    create_searcher,
)

__all__ = ["BasicVariantGenerator", "ConcurrencyLimiter", "Searcher", "create_searcher"]

__getattr__ = attribute_error_for(__name__, REASONS)
