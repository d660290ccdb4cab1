//! Names and shapes in messages, no longer than a reader wants them.

use std::fmt::{self, Debug, Write};

/// The most characters that a message says of a name or a shape: a file's may have millions.
const SAID_AT_MOST: usize = 200;

/// A name or a shape as a message says it.
pub(crate) fn brief(value: &(impl Debug + ?Sized)) -> String {
    let mut said = Brief::default();
    // It ends with an error when there is no more room, so that no more than this is ever written.
    let _ = write!(said, "{value:?}");
    said.text
}

#[derive(Default)]
struct Brief {
    text: String,
    chars: usize,
}

impl Write for Brief {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for char in more.chars() {
            if self.chars == SAID_AT_MOST {
                self.text.pop();
                self.text.push('…');
                return Err(fmt::Error);
            }
            self.text.push(char);
            self.chars += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut() {
        assert_eq!(brief(&[2, 3]), "[2, 3]");
        assert_eq!(brief("a\nb"), r#""a\nb""#);
        let fits = "x".repeat(SAID_AT_MOST - 2);
        assert_eq!(brief(&fits), format!("\"{fits}\""));
        let cut = brief(&vec![1; 1000]);
        assert!(
            cut.ends_with('…') && cut.chars().count() == SAID_AT_MOST,
            "{cut}"
        );
    }
}
