//! A recorded case of any bytes: replayed, or refused with one line.
#![no_main]

use batchnorm::Cpu;
use libfuzzer_sys::fuzz_target;
use replay_cases::case::replay;

fuzz_target!(|bytes: &[u8]| {
    let cpu = Cpu::with_threads(1).expect("a thread");
    if let Ok(result) = replay(bytes, &cpu) {
        assert_eq!(replay(bytes, &cpu).expect("as before"), result);
    }
});
