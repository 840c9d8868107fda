//! Grants: whether one that covers another allows as much.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| anchorhold::fuzzing::grants(input));
