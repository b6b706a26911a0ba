//! The log format of LevelDB as used by W&B: records in blocks of 32 KiB, split where they do not
//! fit.
//!
//! The checksums are CRC-32 of zlib, unmasked. LevelDB itself uses CRC-32C (Castagnoli), masked.

use crc32fast::Hasher;

/// The size of a block in bytes.
const BLOCK: usize = 32_768;
/// The size of a record's header in bytes: checksum (4), length (2) and type (1).
const HEADER: usize = 7;

/// The magic bytes at the start of a file. They count as part of the first block.
pub(super) const MAGIC: &[u8] = b":W&B\xe1\xbe\x00";

/// Appends a record to `out`, the last part of a file that has `before` bytes in front of `out`.
pub(super) fn append(out: &mut Vec<u8>, before: u64, record: &[u8]) {
    let mut rest = record;
    let mut first = true;
    loop {
        let mut room = BLOCK - ((before + out.len() as u64) % BLOCK as u64) as usize;
        // A header is never split: the rest of the block is padded with zeros.
        if room < HEADER {
            out.resize(out.len() + room, 0);
            room = BLOCK;
        }
        let (data, remainder) = rest.split_at(rest.len().min(room - HEADER));
        // Record types of the format: full, first, middle and last part.
        let kind = match (first, remainder.is_empty()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
            (false, true) => 4,
        };
        let mut checksum = Hasher::new();
        checksum.update(&[kind]);
        checksum.update(data);
        out.extend_from_slice(&checksum.finalize().to_le_bytes());
        out.extend_from_slice(&(data.len() as u16).to_le_bytes());
        out.push(kind);
        out.extend_from_slice(data);
        if remainder.is_empty() {
            return;
        }
        (rest, first) = (remainder, false);
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, MAGIC, append};

    #[test]
    fn a_record_that_does_not_fit_is_split_at_the_blocks() {
        let mut file = MAGIC.to_vec();
        append(&mut file, 0, &[7; 70_000]);
        assert_eq!((file[13], file[BLOCK + 6], file[2 * BLOCK + 6]), (2, 3, 4));
        assert_eq!(file.len(), 7 + 3 * 7 + 70_000);
    }

    #[test]
    fn a_record_is_the_same_wherever_the_file_was_cut_for_writing() {
        let mut file = MAGIC.to_vec();
        append(&mut file, 0, &[1; 40_000]);
        let before = file.len();
        let mut rest = Vec::new();
        append(&mut rest, before as u64, &[2; 30_000]);
        append(&mut file, 0, &[2; 30_000]);
        assert_eq!(file[before..], rest);
    }

    #[test]
    fn where_no_header_fits_the_block_is_filled_with_zeros() {
        let mut file = vec![9; BLOCK - 6];
        append(&mut file, 0, b"x");
        assert_eq!(file[BLOCK - 6..BLOCK], [0; 6]);
        assert_eq!(file.len(), BLOCK + 8);
    }
}
