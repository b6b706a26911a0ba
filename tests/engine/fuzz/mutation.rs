//! Changes of inputs, as a fuzzer makes them that does not see what they reach. The same seed makes
//! the same change.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Pieces of the formats that are read: what seldom arises by chance.
const WORDS: [&[u8]; 27] = [
    b"\"",
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b"(",
    b")",
    b",",
    b":",
    b"=",
    b"\n",
    b"\r\n\r\n",
    b"\0",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\xef\xbb\xbf",
    b"null",
    b"true",
    b"nan",
    b"-inf",
    b"-1",
    b"1e308",
    b"0x1",
    b"18446744073709551615",
    b"-9223372036854775808",
];

/// The longest input that is made.
const LONGEST: usize = 64 * 1024;

/// Returns an input of `corpus` after a few changes.
pub(crate) fn changed(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut input = corpus[random.random_range(0..corpus.len())].clone();
    for _ in 0..random.random_range(1..=6) {
        change(&mut input, corpus, &mut random);
    }
    input.truncate(LONGEST);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut ChaCha8Rng) {
    let at = random.random_range(0..=input.len());
    let end = (at + random.random_range(1..=32)).min(input.len());
    match random.random_range(0..8) {
        // A bit flips.
        0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        // A byte becomes another.
        1 if at < input.len() => input[at] = random.random(),
        // A piece goes.
        2 => drop(input.drain(at..end)),
        // A piece comes twice.
        3 => drop(input.splice(at..at, input[at..end].to_vec())),
        // The rest goes.
        4 => input.truncate(at),
        // The rest comes from another input.
        5 => {
            let other = &corpus[random.random_range(0..corpus.len())];
            input.truncate(at);
            input.extend_from_slice(&other[random.random_range(0..=other.len())..]);
        }
        // A word comes in, or takes the place of a piece.
        6 => drop(input.splice(
            at..at,
            WORDS[random.random_range(0..WORDS.len())].iter().copied(),
        )),
        _ => drop(input.splice(
            at..end,
            WORDS[random.random_range(0..WORDS.len())].iter().copied(),
        )),
    }
}
