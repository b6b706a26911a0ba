//! Cyclic redundancy checks, reflected, 32 bits: zlib's and Castagnoli's.

/// The polynomial of zlib and PNG.
pub(super) const ZLIB: Crc = Crc::new(0xedb8_8320);

/// The polynomial of iSCSI, LevelDB and TFRecord.
pub(super) const CASTAGNOLI: Crc = Crc::new(0x82f6_3b78);

/// The table of one polynomial.
pub(super) struct Crc([u32; 256]);

impl Crc {
    const fn new(polynomial: u32) -> Self {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut value = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ polynomial } else { value >> 1 };
                bit += 1;
            }
            table[byte] = value;
            byte += 1;
        }
        Self(table)
    }

    /// Returns the check of all parts, one after the other.
    pub(super) fn of(&self, parts: &[&[u8]]) -> u32 {
        let step = |value: u32, byte: &u8| self.0[(value as u8 ^ byte) as usize] ^ value >> 8;
        !parts.iter().copied().flatten().fold(!0, step)
    }
}

/// Returns a check as LevelDB and TFRecord store it, so that a check over data that holds checks stays good.
pub(super) fn masked(check: u32) -> u32 {
    check.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::{CASTAGNOLI, ZLIB};

    #[test]
    fn the_check_values_of_the_catalogue_come_out() {
        assert_eq!(ZLIB.of(&[b"1234", b"56789"]), 0xcbf4_3926);
        assert_eq!(CASTAGNOLI.of(&[b"123456789"]), 0xe306_9283);
    }
}
