//! Components: `registry::inspect` of any bytes, and of what a text describes, which gets further
//! in than changed bytes do.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    anchorhold::fuzzing::component(input);
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(bytes) = wat::parse_str(text)
    {
        anchorhold::fuzzing::component(&bytes);
    }
});
