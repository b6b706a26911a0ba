//! Random numbers that depend only on the name of their stream.

/// A stream of random numbers: SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
///
/// Every epoch has its own stream, so a resumed training draws the same numbers as an uninterrupted
/// one without any saved state.
#[derive(Debug)]
pub(crate) struct Stream(u64);

impl Stream {
    /// Returns the stream with a name such as (seed, purpose, epoch).
    pub(crate) fn new(name: &[u64]) -> Self {
        let mut stream = Self(0);
        for &part in name {
            stream.0 = stream.bits() ^ part;
        }
        stream
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Returns a number in [0, 1).
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 24) as f32
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.bits() % (last as u64 + 1);
            items.swap(last, other as usize);
        }
    }
}
