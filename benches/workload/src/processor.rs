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
    /// Such as "4 kB, huge ones: madvise".
    pages: String,
    allocator: String,
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
            pages: pages(),
            allocator: allocator().into(),
        }
    }

    /// With what is to be said of the allocator's settings beside its name.
    #[must_use]
    pub fn with_allocator(mut self, remark: &str) -> Self {
        self.allocator += remark;
        self
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

/// The size of a page, and who gets huge ones: as Linux tells it.
fn pages() -> String {
    let size = || {
        let text = fs::read_to_string("/proc/self/smaps").ok()?;
        let mut lines = text.lines();
        let size = lines.find_map(|line| line.strip_prefix("KernelPageSize:"))?;
        Some(size.trim().to_owned())
    };
    let huge = || {
        let path = "/sys/kernel/mm/transparent_hugepage/enabled";
        let text = fs::read_to_string(path).ok()?;
        let (_, chosen) = text.split_once('[')?;
        Some(chosen.split_once(']')?.0.to_owned())
    };
    let or_unknown = |read: Option<String>| read.unwrap_or_else(|| "unknown".into());
    format!("{}, huge ones: {}", or_unknown(size()), or_unknown(huge()))
}

/// Rust's default, which is the C library's.
fn allocator() -> &'static str {
    if cfg!(target_env = "gnu") {
        "glibc"
    } else if cfg!(target_env = "musl") {
        "musl"
    } else {
        "the system's"
    }
}

impl Display for Processor {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let caches = match &self.caches[..] {
            [] => "unknown".into(),
            some => some.join(", "),
        };
        write!(
            formatter,
            "{}, {} {}, threads: {}, SIMD: {}, caches: {caches}, pages: {}, allocator: {}",
            self.model,
            self.architecture,
            self.system,
            self.threads,
            self.levels.join(", "),
            self.pages,
            self.allocator,
        )
    }
}
