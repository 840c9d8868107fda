//! The configuration file.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| anchorhold::fuzzing::config(input));
