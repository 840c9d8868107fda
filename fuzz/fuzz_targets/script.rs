//! Scripts of the scripted provider.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| anchorhold::fuzzing::script(input));
