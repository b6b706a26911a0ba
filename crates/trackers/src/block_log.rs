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

/// Reads the records of a file as it grows.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    rest: Vec<u8>,
    /// The offset in the file of the first byte of `rest`.
    offset: u64,
    /// The parts of a record that goes on in the next block.
    record: Vec<u8>,
    problem: Option<String>,
}

impl Blocks {
    /// Takes further bytes, and passes each record that they complete to `each`.
    pub(super) fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        self.rest.extend_from_slice(bytes);
        let mut begin = 0;
        if self.offset == 0 {
            if self.rest.len() < MAGIC.len() {
                return;
            }
            if !self.rest.starts_with(MAGIC) {
                self.damaged("it is no run file of W&B");
            }
            begin = MAGIC.len();
        }
        while let Some(length) = self.part(begin, each) {
            begin += length;
        }
        self.rest.drain(..begin);
        self.offset += begin as u64;
    }

    /// Reads one part of a record at `begin`, and returns its length; `None` if it is not complete.
    fn part(&mut self, begin: usize, each: &mut dyn FnMut(&[u8])) -> Option<usize> {
        let in_block = ((self.offset + begin as u64) % BLOCK as u64) as usize;
        let room = BLOCK - in_block;
        let rest = self.rest.get(begin..)?;
        if room < HEADER {
            return (rest.len() >= room).then_some(room);
        }
        let (header, after) = rest.split_first_chunk::<HEADER>()?;
        let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let kind = header[6];
        // Zeros fill a block, and nothing else has the type 0. A damaged length would lead astray.
        if kind == 0 || HEADER + length > room {
            if kind != 0 {
                self.damaged("a block is damaged; the rest of it is left out");
            }
            return (self.rest.len() - begin >= room).then_some(room);
        }
        let data = after.get(..length)?;
        let mut checksum = Hasher::new();
        checksum.update(&[kind]);
        checksum.update(data);
        if checksum.finalize().to_le_bytes() != header[..4] {
            self.record.clear();
            self.damaged("a record is damaged; it is left out");
            return Some(HEADER + length);
        }
        if kind <= 2 {
            self.record.clear();
        }
        self.record.extend_from_slice(data);
        if matches!(kind, 1 | 4) {
            each(&self.record);
            self.record.clear();
        }
        Some(HEADER + length)
    }

    fn damaged(&mut self, why: &str) {
        self.problem.get_or_insert(why.to_owned());
    }

    /// Returns the first problem since the last call.
    pub(super) fn take_problem(&mut self) -> Option<String> {
        self.problem.take()
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Blocks, MAGIC, append};

    #[test]
    fn records_are_read_back_however_the_file_arrives_and_damage_costs_one_record() {
        let sizes = [0, 5, 32_750, 3, 70_000, 1];
        let mut file = MAGIC.to_vec();
        for (index, size) in sizes.into_iter().enumerate() {
            append(&mut file, 0, &vec![index as u8; size]);
        }
        for chunk in [1, 7, 1000, file.len()] {
            let mut blocks = Blocks::default();
            let mut read = Vec::new();
            for piece in file.chunks(chunk) {
                blocks.feed(piece, &mut |record| read.push(record.len()));
            }
            assert_eq!((read, blocks.take_problem()), (sizes.to_vec(), None));
        }
        file[MAGIC.len() + 7 + 7 + 2] ^= 1;
        let mut read = Vec::new();
        let mut blocks = Blocks::default();
        blocks.feed(&file, &mut |record| read.push(record.len()));
        assert_eq!(read, [0, 32_750, 3, 70_000, 1]);
        assert!(blocks.take_problem().is_some());
    }

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
