//! Addresses that agents ask, and redirects: none may lead inside.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| anchorhold::fuzzing::url(input));
