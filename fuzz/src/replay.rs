//! A recorded case of any bytes: replayed, or refused with one line.

use crate::CPU;
use replay_cases::case::replay;

/// The target.
pub fn target(bytes: &[u8]) {
    let cpu = &*CPU;
    if let Ok(result) = replay(bytes, cpu) {
        assert_eq!(replay(bytes, cpu).expect("as before"), result);
    }
}
