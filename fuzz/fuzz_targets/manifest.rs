//! Manifests, and whether what they want can be granted.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| anchorhold::fuzzing::manifest(input));
