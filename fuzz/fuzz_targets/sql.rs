//! SQL of agents: the host's own table stays as it is.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| anchorhold::fuzzing::sql(input));
