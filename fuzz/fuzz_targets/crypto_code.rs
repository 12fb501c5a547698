#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| starpoint_fuzz::crypto::code(input));
