//! A recorded case of any bytes: replayed, or refused with one line.
#![no_main]

use batchnorm_fuzz::CPU;
use libfuzzer_sys::fuzz_target;
use replay_cases::case::replay;

fuzz_target!(|bytes: &[u8]| {
    let cpu = &*CPU;
    if let Ok(result) = replay(bytes, cpu) {
        assert_eq!(replay(bytes, cpu).expect("as before"), result);
    }
});
