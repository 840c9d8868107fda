//! What Slack sends, and agents say there.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| anchorhold::fuzzing::slack(input));
