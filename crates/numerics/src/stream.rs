//! Independent random streams: each is a pure function of (seed, purpose, index).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The purpose of a random stream. Streams of different purposes never overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// A sampler proposes the configuration of one trial.
    Suggest = 1,
    /// A trial gets its own seed, `SWATH_SEED`.
    TrialSeed = 2,
    /// A scheduler makes a random choice about one trial.
    Schedule = 3,
    /// A sampler is set up: scrambling, start designs.
    Design = 4,
    /// Acceptance rates are measured or statistics are resampled.
    Measure = 5,
    /// The simulator draws its random numbers.
    Simulate = 6,
}

/// Returns the stream of `purpose` under `seed`; `index` is for example a trial id. The generator
/// is ChaCha8, whose output is the same on every platform and in every version.
#[must_use]
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&index.to_le_bytes());
    key[16] = purpose as u8;
    ChaCha8Rng::from_seed(key)
}
