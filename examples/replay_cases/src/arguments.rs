//! What the command line says. Read by hand: a package for it would be compiled before the first test of the library.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "Usage: replay IN OUT [--device cpu|cuda|simt] [--threads N]\n\nFor more information, try '--help'.\n";

pub(crate) const HELP: &str = "\
Replays batch normalization that another framework recorded in safetensors files.

Usage: replay IN OUT [--device cpu|cuda|simt] [--threads N]

Arguments:
  IN   A case, or a folder of *.safetensors cases
  OUT  The file for the result, or the folder for the results

Options:
  --device cpu|cuda|simt  What to compute on [default: cpu]
  --threads N             The number of the CPU's threads [default: all]
  -h, --help              Print this
";

#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    /// A case, or a folder of *.safetensors cases.
    pub(crate) input: PathBuf,
    /// The file for the result, or the folder for the results.
    pub(crate) output: PathBuf,
    pub(crate) device: DeviceName,
    /// The number of the CPU's threads; all if it is not said.
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum DeviceName {
    Cpu,
    Cuda,
    Simt,
}

impl Arguments {
    /// `None` where help is asked for.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut words = words.into_iter();
        let (mut paths, mut device, mut threads) = (Vec::new(), DeviceName::Cpu, None);
        while let Some(word) = words.next() {
            let (option, value) = match word.to_str() {
                Some("-h" | "--help") => return Ok(None),
                Some(text) if text.len() > 1 && text.starts_with('-') => text
                    .split_once('=')
                    .map_or((text, None), |(option, value)| {
                        (option, Some(value.to_owned()))
                    }),
                _ => {
                    paths.push(PathBuf::from(word));
                    continue;
                }
            };
            let mut value = || {
                let next = || words.next().map(|word| word.to_string_lossy().into_owned());
                value
                    .clone()
                    .or_else(next)
                    .ok_or_else(|| format!("{option} takes a value"))
            };
            match option {
                "--device" => device = device_of(&value()?)?,
                "--threads" => {
                    let value = value()?;
                    let number = value.parse();
                    threads = Some(
                        number.map_err(|_| format!("--threads takes a number, not {value:?}"))?,
                    );
                }
                _ => return Err(format!("there is no option {option}")),
            }
        }
        let [input, output] = <[PathBuf; 2]>::try_from(paths)
            .map_err(|paths| format!("IN and OUT are two paths, and {} were given", paths.len()))?;
        Ok(Some(Self {
            input,
            output,
            device,
            threads,
        }))
    }
}

fn device_of(name: &str) -> Result<DeviceName, String> {
    match name {
        "cpu" => Ok(DeviceName::Cpu),
        "cuda" => Ok(DeviceName::Cuda),
        "simt" => Ok(DeviceName::Simt),
        _ => Err(format!("--device takes cpu, cuda or simt, not {name:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(words.split(' ').map(OsString::from))
    }

    #[test]
    fn options_come_anywhere_and_in_both_forms() {
        for words in [
            "in --device=simt out --threads 3",
            "--threads=3 in --device simt out",
        ] {
            let found = parse(words).unwrap().unwrap();
            assert_eq!((found.input, found.output), ("in".into(), "out".into()));
            assert_eq!((found.device, found.threads), (DeviceName::Simt, Some(3)));
        }
        assert_eq!(parse("in out").unwrap().unwrap().device, DeviceName::Cpu);
        assert_eq!(parse("in --help"), Ok(None));
    }

    #[test]
    fn what_means_nothing_is_named() {
        for (words, named) in [
            ("in", "1 were given"),
            ("in out more", "3 were given"),
            ("in out --device tpu", "tpu"),
            ("in out --threads many", "many"),
            ("in out --threads", "--threads takes"),
            ("in out --speed 9", "--speed"),
        ] {
            assert!(parse(words).unwrap_err().contains(named), "{words}");
        }
    }
}
