"""``ray.air.integrations.mlflow``."""

from ..._callbacks import MLflowLoggerCallback

__all__ = ["MLflowLoggerCallback"]
