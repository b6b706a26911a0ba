//! One independent stream of randomness for each purpose: a pure function of (seed, purpose,
//! index).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What randomness is used for; streams of different purposes never overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// A sampler's proposal for one trial.
    Suggest = 1,
    /// A trial's own seed, `SWATH_SEED`.
    TrialSeed = 2,
    /// A scheduler's choice about one trial.
    Schedule = 3,
    /// A sampler's set-up: scrambling, start designs.
    Design = 4,
    /// Measuring acceptance rates, resampling statistics.
    Measure = 5,
    /// The simulator.
    Simulate = 6,
}

/// Returns the stream of `purpose` number `index` (a trial id, say) under `seed`. ChaCha8, so
/// portable and unchanging.
#[must_use]
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&index.to_le_bytes());
    key[16] = purpose as u8;
    ChaCha8Rng::from_seed(key)
}
