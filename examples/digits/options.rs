//! What the command line says. Read by hand: a package for it would be compiled before the first test of the library.

pub(crate) const HELP: &str = "\
Train a small classifier of handwritten digits with and without batch norm

Usage: digits [--epochs N] [--seeds N]

Options:
  --epochs N  How often each training run sees every image [default: 5]
  --seeds N   How many runs, each from other random weights, the medians are taken over [default: 5]
  -h, --help  Print this
";

pub(crate) struct Options {
    /// How often each training run sees every image.
    pub(crate) epochs: u32,
    /// How many runs, each from other random weights, the medians are taken over.
    pub(crate) seeds: u32,
}

impl Options {
    /// `None` where help is asked for.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            epochs: 5,
            seeds: 5,
        };
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let number = match option {
                "--epochs" => &mut options.epochs,
                "--seeds" => &mut options.seeds,
                "-h" | "--help" => return Ok(None),
                _ => return Err(format!("there is no option {option}; --help has them all")),
            };
            let value = value.or_else(|| words.next()).unwrap_or_default();
            *number = match value.parse() {
                Ok(value) if value > 0 => value,
                _ => return Err(format!("{option} takes a number above 0, not {value:?}")),
            };
        }
        Ok(Some(options))
    }
}
