"""``ray.tune.schedulers``."""

from ..._unsupported import attribute_error_for
from .._schedulers import (
    REASONS,
    ASHAScheduler,
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
    TrialScheduler,
    create_scheduler,
)

__all__ = [
    "ASHAScheduler",
    "AsyncHyperBandScheduler",
    "FIFOScheduler",
    "HyperBandForBOHB",
    "HyperBandScheduler",
    "MedianStoppingRule",
    "TrialScheduler",
    "create_scheduler",
]

__getattr__ = attribute_error_for(__name__, REASONS)
