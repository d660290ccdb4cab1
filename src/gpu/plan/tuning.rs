//! What a person who tunes may say about the plan: the environment variable `BATCHNORM_PLAN`.
//!
//! A list of settings with commas between them, such as `strategy=ticketed,group=4`:
//!
//! | setting | meaning |
//! |---|---|
//! | `strategy=` (or `way=`) `split`, `on-chip`, `ticketed`, `pipelined`, `persistent` | the only one a fused pass may take; split where it cannot |
//! | `cluster=` 1, 2, 4, 8, 16 | the only cluster size an on-chip kernel may take; split where the device has none of it |
//! | `threads=` 32, 128, 256, 512 | the only number of threads of a block that an on-chip kernel may take |
//! | `columns=` packets, 1 to 256 | how wide a group of columns is, about: whole channels that end where a packet does |
//! | `group=` channels, 1 to 131064 | how many channels the ticketed and pipelined kernels have in flight |
//! | `places=` 2, 3 | the only number of tiles that a block of the pipelined kernels has in shared memory; split where it has no room for them |
//! | `tile=` packets, 256 to 4096 | the only length that a tile of the ticketed and pipelined kernels may have, more where there is no room for the sums of so many tiles; split where shared memory has no room for it |

use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::gpu::kernel::Strategy;
use crate::gpu::plan::occupancy::{THREADS, THREADS_ALONE};
use crate::gpu::plan::split::MOST_TICKETED_CHANNELS;

/// The sizes of a cluster that the kernels are launched in, smallest first.
pub(super) const CLUSTERS: [usize; 5] = [1, 2, 4, 8, 16];

/// Threads of a block of an on-chip kernel, fewest first. On planes, few do for small parts, of which more then fit a
/// multiprocessor.
pub(super) const BLOCKS_OF_THREADS: [usize; 4] = [32, 128, THREADS, THREADS_ALONE];

const CLUSTER: &str = "1, 2, 4, 8 or 16";
const BLOCK: &str = "32, 128, 256 or 512";
const COLUMNS: &str = "1 to 256 packets (a thread for each)";
const GROUP: &str = "1 to 131064 channels (those that have counters)";
const PLACES: &str = "2 or 3";
const TILE: &str = "256 to 4096 packets";
/// The same as numbers: a packet for each thread of a block, and sixteen.
const TILES: std::ops::RangeInclusive<usize> = THREADS..=16 * THREADS;

/// The settings that were given, each one that the kernels take: a plan asks no further.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tuning {
    pub(super) strategy: Option<Strategy>,
    pub(super) cluster: Option<usize>,
    pub(super) threads: Option<usize>,
    /// Packets of a row of a group.
    pub(super) columns: Option<usize>,
    /// Channels in flight.
    pub(super) group: Option<usize>,
    /// Tiles of a block in shared memory.
    pub(super) places: Option<usize>,
    /// Packets of a tile that is taken in an order of tickets.
    pub(super) tile: Option<usize>,
}

impl Tuning {
    /// From `BATCHNORM_PLAN`, read once. What cannot be understood is reported on standard error and ignored.
    pub fn of_environment() -> &'static Self {
        static TUNING: OnceLock<Tuning> = OnceLock::new();
        TUNING.get_or_init(|| {
            let text = std::env::var("BATCHNORM_PLAN").unwrap_or_default();
            Self::parse(&text).unwrap_or_else(|reason| {
                eprintln!("BATCHNORM_PLAN is ignored: {reason}");
                Self::default()
            })
        })
    }

    /// From such a list.
    ///
    /// # Errors
    /// [`Error::Value`] for a setting that there is not, and for one whose value is none that it may have.
    pub fn parse(text: &str) -> Result<Self> {
        text.split(',')
            .map(str::trim)
            .filter(|setting| !setting.is_empty())
            .try_fold(Self::default(), Self::with)
    }

    /// The same with one more setting, such as `group=4`.
    fn with(self, setting: &str) -> Result<Self> {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| refused("a setting of the plan", setting, "a name, '=' and a value"))?;
        match name {
            "strategy" | "way" => Ok(self.strategy(strategy(value)?)),
            "cluster" => self.cluster(number("cluster", value, CLUSTER)?),
            "threads" => self.threads(number("threads", value, BLOCK)?),
            "columns" => self.columns(number("columns", value, COLUMNS)?),
            "group" => self.group(number("group", value, GROUP)?),
            "places" => self.places(number("places", value, PLACES)?),
            "tile" => self.tile(number("tile", value, TILE)?),
            _ => Err(refused(
                "a setting of the plan",
                name,
                "strategy (or way), cluster, threads, columns, group, places or tile",
            )),
        }
    }

    /// The only strategy that a fused pass may take; split where it cannot.
    #[must_use]
    pub fn strategy(self, strategy: Strategy) -> Self {
        let strategy = Some(strategy);
        Self { strategy, ..self }
    }

    /// The only cluster size that an on-chip kernel may take; split where the device has none of it.
    ///
    /// # Errors
    /// [`Error::Value`] if it is not 1, 2, 4, 8 or 16.
    pub fn cluster(self, blocks: usize) -> Result<Self> {
        let cluster = Some(allowed(
            "cluster",
            blocks,
            CLUSTERS.contains(&blocks),
            CLUSTER,
        )?);
        Ok(Self { cluster, ..self })
    }

    /// The only number of threads of a block that an on-chip kernel may take.
    ///
    /// # Errors
    /// [`Error::Value`] if it is not 32, 128, 256 or 512.
    pub fn threads(self, threads: usize) -> Result<Self> {
        let fits = BLOCKS_OF_THREADS.contains(&threads);
        let threads = Some(allowed("threads", threads, fits, BLOCK)?);
        Ok(Self { threads, ..self })
    }

    /// How wide a group of columns is, about: whole channels that end where a packet does.
    ///
    /// # Errors
    /// [`Error::Value`] outside 1 to 256 packets, of which each has a thread of its block.
    pub fn columns(self, packets: usize) -> Result<Self> {
        let fits = (1..=THREADS).contains(&packets);
        let columns = Some(allowed("columns", packets, fits, COLUMNS)?);
        Ok(Self { columns, ..self })
    }

    /// How many channels the ticketed and pipelined kernels have in flight.
    ///
    /// # Errors
    /// [`Error::Value`] outside 1 to 131064, which is how many can be counted.
    pub fn group(self, channels: usize) -> Result<Self> {
        let fits = (1..=MOST_TICKETED_CHANNELS).contains(&channels);
        let group = Some(allowed("group", channels, fits, GROUP)?);
        Ok(Self { group, ..self })
    }

    /// The only number of tiles that a block of the pipelined kernels has in shared memory; split where it has no room for them.
    ///
    /// # Errors
    /// [`Error::Value`] if it is not 2 or 3.
    pub fn places(self, tiles: usize) -> Result<Self> {
        let places = Some(allowed("places", tiles, (2..=3).contains(&tiles), PLACES)?);
        Ok(Self { places, ..self })
    }

    /// The only length that a tile of the ticketed and pipelined kernels may have; more where there is no room for the sums of so
    /// many tiles, and split where shared memory has no room for it.
    ///
    /// # Errors
    /// [`Error::Value`] outside 256 to 4096 packets.
    pub fn tile(self, packets: usize) -> Result<Self> {
        let fits = TILES.contains(&packets);
        let tile = Some(allowed("tile", packets, fits, TILE)?);
        Ok(Self { tile, ..self })
    }
}

fn strategy(value: &str) -> Result<Strategy> {
    match value {
        "split" => Ok(Strategy::Split),
        "on-chip" => Ok(Strategy::OnChip),
        "ticketed" => Ok(Strategy::Ticketed),
        "pipelined" => Ok(Strategy::Pipelined),
        "persistent" => Ok(Strategy::Persistent),
        _ => Err(refused(
            "strategy",
            value,
            "split, on-chip, ticketed, pipelined or persistent",
        )),
    }
}

fn number(what: &'static str, value: &str, needed: &'static str) -> Result<usize> {
    value.parse().map_err(|_| refused(what, value, needed))
}

fn allowed(what: &'static str, found: usize, fits: bool, needed: &'static str) -> Result<usize> {
    if fits {
        Ok(found)
    } else {
        Err(refused(what, &found.to_string(), needed))
    }
}

fn refused(what: &'static str, found: &str, needed: &'static str) -> Error {
    Error::Value {
        what,
        found: format!("{found:?}"),
        needed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_in_any_order() {
        let tuning = Tuning::parse("group=4, way=ticketed").unwrap();
        assert_eq!(
            (tuning.strategy, tuning.group, tuning.cluster),
            (Some(Strategy::Ticketed), Some(4), None)
        );
        assert_eq!(Tuning::parse("strategy=ticketed,group=4"), Ok(tuning));
        assert_eq!(Tuning::parse("").unwrap(), Tuning::default());
    }

    #[test]
    fn the_extremes_are_taken_and_what_is_beyond_them_is_not() {
        for text in [
            "cluster=1",
            "cluster=16",
            "threads=32",
            "threads=512",
            "columns=1",
            "columns=256",
            "group=1",
            "group=131064",
            "places=2",
            "places=3",
            "tile=256",
            "tile=4096",
        ] {
            assert!(Tuning::parse(text).is_ok(), "{text}");
        }
        for (text, message) in [
            ("cluster=0", "cluster must be 1, 2, 4, 8 or 16, got \"0\""),
            ("cluster=3", "cluster must be 1, 2, 4, 8 or 16, got \"3\""),
            ("cluster=32", "cluster must be 1, 2, 4, 8 or 16, got \"32\""),
            (
                "threads=64",
                "threads must be 32, 128, 256 or 512, got \"64\"",
            ),
            ("places=4", "places must be 2 or 3, got \"4\""),
            (
                "columns=0",
                "columns must be 1 to 256 packets (a thread for each), got \"0\"",
            ),
            (
                "columns=257",
                "columns must be 1 to 256 packets (a thread for each), got \"257\"",
            ),
            (
                "columns=18446744073709551615",
                "columns must be 1 to 256 packets",
            ),
            (
                "columns=18446744073709551616",
                "columns must be 1 to 256 packets",
            ),
            (
                "columns=-1",
                "columns must be 1 to 256 packets (a thread for each), got \"-1\"",
            ),
            (
                "group=0",
                "group must be 1 to 131064 channels (those that have counters), got \"0\"",
            ),
            ("group=131065", "group must be 1 to 131064 channels"),
            ("group=four", "group must be 1 to 131064 channels"),
            ("tile=255", "tile must be 256 to 4096 packets, got \"255\""),
            (
                "tile=4097",
                "tile must be 256 to 4096 packets, got \"4097\"",
            ),
            (
                "way=fast",
                "strategy must be split, on-chip, ticketed, pipelined or persistent, got \"fast\"",
            ),
            (
                "speed=9",
                "a setting of the plan must be strategy (or way), cluster, threads, columns, group, places or tile, got \"speed\"",
            ),
            (
                "way",
                "a setting of the plan must be a name, '=' and a value, got \"way\"",
            ),
        ] {
            let error = Tuning::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn the_words_of_an_error_are_the_numbers_of_its_rule() {
        assert!(COLUMNS.starts_with(&format!("1 to {THREADS} ")));
        assert!(GROUP.starts_with(&format!("1 to {MOST_TICKETED_CHANNELS} ")));
        assert!(TILE.starts_with(&format!("{} to {} ", TILES.start(), TILES.end())));
    }
}
