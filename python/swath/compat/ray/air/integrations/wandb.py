"""``ray.air.integrations.wandb``."""

from ..._callbacks import WandbLoggerCallback

__all__ = ["WandbLoggerCallback"]
