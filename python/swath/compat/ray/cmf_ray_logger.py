"""The logger of the Common Metadata Framework for Ray Tune."""

from ._callbacks import CmfRayLogger

__all__ = ["CmfRayLogger"]
