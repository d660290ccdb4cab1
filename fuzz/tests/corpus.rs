//! Every fuzz target on the stable toolchain: over its corpus, and for some seconds over what mutations make of it.
//!
//! There is no coverage to lead the mutations here, as there is under the fuzzer. They are the same in every run, as far as the time
//! lasts: `FUZZ_SECONDS` for each target, 5 if it is not said.

use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use batchnorm_fuzz::{checkpoints, conversions, passes, replay, steps, tunings};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// The most changes that an input is made by.
const MOST_CHANGES: usize = 8;
/// Longer inputs are cut: what is after it no target reads of its corpus.
const MOST_BYTES: usize = 4096;

struct Random(SplitMix64);

impl Random {
    /// Below so many.
    fn below(&mut self, many: usize) -> usize {
        (self.0.next_u64() % many as u64) as usize
    }

    /// Often one at which a count, a length or a sign goes wrong.
    fn byte(&mut self) -> u8 {
        match self.below(3) {
            0 => [0, 1, 0x7f, 0x80, 0xfe, 0xff][self.below(6)],
            _ => self.0.next_u64().to_le_bytes()[0],
        }
    }

    /// A range of the bytes.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        start..start + self.below((len - start).min(32) + 1)
    }

    /// Makes an input of one of the corpus and a part of another.
    fn mutated(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(MOST_CHANGES) {
            let range = self.range(bytes.len());
            match self.below(5) {
                0 if !bytes.is_empty() => {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
                1 => bytes[range].fill_with(|| self.byte()),
                2 => drop(bytes.drain(range)),
                3 => {
                    let inserted: Vec<u8> = range.clone().map(|_| self.byte()).collect();
                    drop(bytes.splice(range.start..range.start, inserted));
                }
                _ => {
                    let other = &corpus[self.below(corpus.len())];
                    let of_other = self.range(other.len());
                    drop(bytes.splice(range, other[of_other].iter().copied()));
                }
            }
        }
        bytes.truncate(MOST_BYTES);
        bytes
    }
}

/// Runs a target, and keeps an input that it fails on for `cargo +nightly fuzz run`.
fn run(name: &str, target: fn(&[u8]), bytes: &[u8]) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) else {
        return;
    };
    let path = env::temp_dir().join(format!("fuzz-{name}"));
    fs::write(&path, bytes).expect("the input that failed");
    eprintln!("{name} fails on {}", path.display());
    resume_unwind(panic)
}

fn check(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("a corpus")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files
        .iter()
        .map(|path| fs::read(path).expect("an input"))
        .collect();
    assert!(!corpus.is_empty(), "{name} has no corpus");
    for bytes in &corpus {
        run(name, target, bytes);
    }
    let seconds = env::var("FUZZ_SECONDS").map_or(5, |seconds| seconds.parse().expect("seconds"));
    let (begin, time) = (Instant::now(), Duration::from_secs(seconds));
    let mut random = Random(SplitMix64::seed_from_u64(1));
    let mut inputs = 0;
    while begin.elapsed() < time {
        run(name, target, &random.mutated(&corpus));
        inputs += 1;
    }
    println!(
        "{name}: {} inputs of the corpus, {inputs} more",
        corpus.len()
    );
    assert!(
        inputs > 10 || seconds == 0,
        "{name} takes too long: {inputs} inputs"
    );
}

/// A test for each target, which all are here: the fuzzer's list is the same.
macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name), $name::target);
            }
        )*

        #[test]
        fn every_target_is_tested() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
            let mut found: Vec<String> = fs::read_dir(folder)
                .expect("the targets")
                .map(|entry| entry.expect("a file").path())
                .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
                .collect();
            found.sort();
            assert_eq!(found, [$(stringify!($name)),*]);
        }
    };
}

targets!(checkpoints conversions passes replay steps tunings);
