//! What `run` shows while it runs.
