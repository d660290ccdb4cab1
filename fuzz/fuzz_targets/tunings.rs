#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| batchnorm_fuzz::tunings::target(bytes));
