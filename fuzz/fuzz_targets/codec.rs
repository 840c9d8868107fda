//! Stored input, output and records.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| anchorhold::fuzzing::codec(input));
