//! Trials in jobs of a real Slurm.
