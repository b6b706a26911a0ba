//! Mutates inputs like a fuzzer without coverage feedback. The same seed gives the same mutation.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

/// Fragments of the formats under test that rarely arise by chance.
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

/// Maximum length of a mutated input in bytes.
const LONGEST: usize = 64 * 1024;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Returns the seeds of a target: `count` of them, `SWATH_FUZZ` of them, or as many as
/// `SWATH_FUZZ_SECONDS` give time for.
pub(crate) fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let seconds = number("SWATH_FUZZ_SECONDS");
    let count = match seconds {
        Some(_) => u64::MAX,
        None => number("SWATH_FUZZ").unwrap_or(count),
    };
    let begun = Instant::now();
    (0..count).take_while(move |_| {
        seconds.is_none_or(|seconds| begun.elapsed() < Duration::from_secs(seconds))
    })
}

/// Prints how many inputs a target got, for the figures of the long form.
pub(crate) fn print_count(target: &str, count: u64) {
    let line = format!("{target}: {count} inputs\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

/// Returns an input of `corpus` after a few mutations.
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
        // Flip a bit.
        0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        // Replace a byte.
        1 if at < input.len() => input[at] = random.random(),
        // Remove a piece.
        2 => drop(input.drain(at..end)),
        // Duplicate a piece.
        3 => drop(input.splice(at..at, input[at..end].to_vec())),
        // Remove the rest.
        4 => input.truncate(at),
        // Replace the rest by that of another input.
        5 => {
            let other = &corpus[random.random_range(0..corpus.len())];
            input.truncate(at);
            input.extend_from_slice(&other[random.random_range(0..=other.len())..]);
        }
        // Insert a fragment, or replace a piece by one.
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
