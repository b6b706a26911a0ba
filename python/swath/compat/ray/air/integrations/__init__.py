"""``ray.air.integrations``: loggers whose work a tracker does."""
