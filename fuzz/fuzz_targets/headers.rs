//! Headers between agents and browsers.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| anchorhold::fuzzing::headers(input));
