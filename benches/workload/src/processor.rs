//! Which machine the figures are of, as far as it can be read.

use std::fmt::{self, Display, Formatter};
use std::fs;

use batchnorm::Level;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Processor {
    pub model: String,
    architecture: &'static str,
    system: &'static str,
    threads: usize,
    levels: Vec<&'static str>,
    /// Such as "L1 Data 48K".
    caches: Vec<String>,
}

impl Processor {
    pub fn read() -> Self {
        let levels = Level::available().into_iter().map(Level::name);
        Self {
            model: model().unwrap_or_else(|| "a processor that does not say which".into()),
            architecture: std::env::consts::ARCH,
            system: std::env::consts::OS,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            levels: levels.collect(),
            caches: (0..8).map_while(cache).collect(),
        }
    }
}

/// As Linux on x86-64 tells it.
fn model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().into())
}

/// As Linux tells it of the first core.
fn cache(index: u8) -> Option<String> {
    let read = |what: &str| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{what}");
        Some(fs::read_to_string(path).ok()?.trim().to_owned())
    };
    let (level, kind, size) = (read("level")?, read("type")?, read("size")?);
    Some(format!("L{level} {kind} {size}"))
}

impl Display for Processor {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let caches = match &self.caches[..] {
            [] => "unknown".into(),
            some => some.join(", "),
        };
        write!(
            formatter,
            "{}, {} {}, threads: {}, SIMD: {}, caches: {caches}",
            self.model,
            self.architecture,
            self.system,
            self.threads,
            self.levels.join(", "),
        )
    }
}
