//! A file's header, before it is parsed: what it would take in memory.

use crate::allocate::reserved;
use crate::error::{Error, Result};

/// Bytes that the parser of `safetensors` takes for a value of the header, at most: it holds each by itself before it
/// makes tensors of them, in vectors that double.
const BYTES_OF_VALUE: usize = 64;
/// The fewest bytes of a file for each value of its header. The shortest entry of a tensor of four dimensions has 57
/// for 11 values; a list of ones has 2 for each, and would take 32 times the file.
const FILE_BYTES_PER_VALUE: usize = 4;

/// Checks that parsing takes a small multiple of the file, and that there is room for it: the parser ends the program
/// where there is none.
pub(super) fn check_header(file: &[u8]) -> Result<()> {
    let values = values_of(header_of(file));
    if values > file.len() / FILE_BYTES_PER_VALUE {
        return Err(Error::Checkpoint {
            reason: format!(
                "its header has {values} values in a file of {} bytes, needed are at least \
                 {FILE_BYTES_PER_VALUE} bytes for each",
                file.len()
            ),
            source: None,
        });
    }
    reserved::<u8>(values.saturating_mul(BYTES_OF_VALUE)).map(drop)
}

/// The JSON after the eight bytes that say its length; nothing where they say what is not there, which the parser finds.
fn header_of(file: &[u8]) -> &[u8] {
    let Some((length, rest)) = file.split_first_chunk() else {
        return &[];
    };
    let length = usize::try_from(u64::from_le_bytes(*length));
    length
        .ok()
        .and_then(|length| rest.get(..length))
        .unwrap_or_default()
}

/// The values of JSON, or one or two more: each follows a comma or is the first of a list or an object.
fn values_of(json: &[u8]) -> usize {
    let (mut values, mut in_text, mut escaped) = (0, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_text() {
        assert_eq!(values_of(br#"{"a":[1,2,3],"b":{"c":4}}"#), 6);
        assert_eq!(values_of(br#"{"a,[\"{,":"\\","b":1}"#), 2);
    }

    #[test]
    fn a_file_that_is_too_short_has_no_header() {
        for file in [
            &[][..],
            &[1; 7],
            &[255; 8],
            &[200, 0, 0, 0, 0, 0, 0, 0, b'{'],
        ] {
            assert!(header_of(file).is_empty());
            assert_eq!(check_header(file), Ok(()));
        }
    }
}
