"""``ray.tune.callback``."""

from .._callbacks import Callback

__all__ = ["Callback"]
