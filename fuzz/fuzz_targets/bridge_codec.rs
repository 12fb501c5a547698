#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| starpoint_fuzz::bridge::codec(input));
