#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| swath_fuzz::RECORDS_FILE(bytes));
