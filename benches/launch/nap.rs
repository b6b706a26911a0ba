//! A trial that sleeps, and prints its slot and when it began and ended, in nanoseconds since 1970.
//! From many of them `compare.py` learns how long a slot is idle between two trials.
//!
//! `nap MILLISECONDS [SLOT]`; without the variable of swath the slot is an argument.
#![expect(clippy::print_stdout, reason = "its result is what it is for")]

use std::thread::sleep;
use std::time::{Duration, SystemTime};

fn main() {
    let began = now();
    let mut words = std::env::args().skip(1);
    let milliseconds = words.next().and_then(|word| word.parse().ok());
    sleep(Duration::from_millis(milliseconds.unwrap_or(5)));
    let slot = std::env::var("SWATH_SLOT").ok().or_else(|| words.next());
    println!("{} {began} {}", slot.unwrap_or_default(), now());
}

fn now() -> u128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos())
}
