//! How long the blocks of a launch take that compete for memory while each also waits: in waves, the first of which
//! begins in step, so that all of it waits at once.

use crate::gpu::plan::cost::rates::Rates;

/// Blocks that are alike, and what each of them takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    pub blocks: usize,
    /// Blocks of a multiprocessor that run at once.
    pub resident: usize,
    /// Tiles that a block has on their way or at work at once; each is a block to the model.
    pub tiles_of_block: usize,
    /// Blocks that run at once, where it is fewer than all multiprocessors have room for.
    pub most_at_once: usize,
    /// Whether all that run at once wait for each other, so that all later waves are in step too.
    pub in_step: bool,
    /// Bytes of a block from and to memory.
    pub memory: f64,
    /// Bytes of a block that the second-level cache has.
    pub cached: f64,
    /// Clocks in which a block has its multiprocessor issue instructions.
    pub clocks: f64,
    /// Seconds in which a block waits and asks for nothing: a first latency, reductions, barriers.
    pub delay: f64,
    /// Seconds in which a block with several tiles has one of them alone: its instructions, and waits that are not for memory. It
    /// does one tile after the other.
    pub alone: f64,
    /// Seconds of that in which the blocks of a cluster find each other's sums.
    pub exchange: f64,
    /// Seconds of the further latencies that a thread waits for one after the other, while others' bytes arrive: they
    /// count as far as too few of those are on their way.
    pub latencies: f64,
    /// The share of what is moved that is read.
    pub read: f64,
}

/// What most of a stage's time is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// Bytes from and to memory.
    Memory,
    /// Bytes from the second-level cache.
    Cache,
    /// Instructions.
    Instructions,
    /// Too few bytes on their way, reductions and barriers.
    Latency,
}

/// How long, and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timed {
    pub seconds: f64,
    pub bound: Bound,
}

impl Stage {
    /// Blocks that run at once.
    pub(super) fn slots(&self, rates: &Rates) -> usize {
        (self.resident * self.tiles_of_block * rates.multiprocessors)
            .min(self.most_at_once)
            .max(1)
    }

    pub(super) fn waves(&self, rates: &Rates) -> f64 {
        self.blocks as f64 / self.slots(rates) as f64
    }

    /// From the first block's begin to the last one's end.
    pub(super) fn time(&self, rates: &Rates) -> Timed {
        let slots = self.slots(rates);
        let (whole, rest) = (self.blocks / slots, self.blocks % slots);
        let (full, bound) = self.busy(slots, rates);
        let (last, _) = self.busy(rest, rates);
        let mut seconds = 0.0;
        if whole > 0 {
            seconds += self.waits(full) + full;
            seconds += (whole - 1) as f64 * self.next(slots, full, rates);
        }
        if rest > 0 {
            seconds += if whole > 0 {
                self.next(rest, last, rates)
            } else {
                self.waits(last) + last
            };
        }
        let waits = self.waits(full.max(last)) > full.max(last);
        Timed {
            seconds,
            bound: if waits { Bound::Latency } else { bound },
        }
    }

    /// The least that it could take if a block had its next tile on its way while it waits: all bytes without a pause, and the waits
    /// of one block.
    pub(super) fn time_with_next_in_flight(&self, rates: &Rates) -> f64 {
        let (busy, _) = self.busy(self.blocks, rates);
        self.delay + busy
    }

    /// The same with sums that are pushed to the others of the cluster, one way, and not asked for, there and back.
    pub(super) fn with_pushed_sums(&self) -> Self {
        Self {
            delay: self.delay - self.exchange / 2.0,
            ..*self
        }
    }

    /// Seconds in which a block waits, where a wave's bytes take `busy`.
    fn waits(&self, busy: f64) -> f64 {
        self.delay + (self.latencies - busy * self.read).max(0.0)
    }

    /// Seconds in which something is busy for so many blocks at once, and what.
    fn busy(&self, blocks: usize, rates: &Rates) -> (f64, Bound) {
        let all = blocks as f64;
        // One multiprocessor has more than its share where the others have nothing.
        let of_one = blocks.div_ceil(rates.multiprocessors) as f64;
        let from_cache = self.memory + self.cached;
        let memory = (all * self.memory / rates.copy).max(of_one * self.memory / rates.alone);
        let cache = (all * from_cache / rates.cache).max(of_one * from_cache / rates.alone);
        let instructions = of_one * self.clocks / rates.clock;
        let bounds = [
            (memory, Bound::Memory),
            (cache, Bound::Cache),
            (instructions, Bound::Instructions),
        ];
        bounds
            .into_iter()
            .fold((0.0, Bound::Memory), |most, bound| {
                if bound.0 > most.0 { bound } else { most }
            })
    }

    /// Seconds from one wave to the next. Behind other waves, blocks are no longer in step, or all wait for all.
    fn next(&self, blocks: usize, busy: f64, rates: &Rates) -> f64 {
        if self.in_step {
            self.waits(busy) + busy
        } else {
            self.steady(blocks, busy, rates)
        }
    }

    /// The same when blocks are out of step: mean value analysis of a closed queue of as many
    /// customers as a multiprocessor has blocks, each of which is served for its part of `busy` and then away.
    fn steady(&self, blocks: usize, busy: f64, rates: &Rates) -> f64 {
        let customers = blocks.div_ceil(rates.multiprocessors);
        let (served, delay) = (busy / customers as f64, self.waits(busy));
        let (mut waiting, mut cycle) = (0.0, 0.0);
        for customer in 1..=customers {
            let response = served * (1.0 + waiting);
            cycle = delay + response;
            waiting = customer as f64 * response / cycle.max(f64::MIN_POSITIVE);
        }
        cycle.max(self.tiles_of_block as f64 * self.alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::attributes::Attributes;

    /// Ten multiprocessors that move a byte a second each, together or alone.
    fn rates() -> Rates {
        Rates {
            multiprocessors: 10,
            clock: 1.0,
            copy: 10.0,
            cache: 1e9,
            alone: 1.0,
            cache_bytes: 0.0,
            ..Rates::of(&Attributes::H200)
        }
    }

    fn stage(blocks: usize, resident: usize, delay: f64) -> Stage {
        Stage {
            blocks,
            resident,
            tiles_of_block: 1,
            most_at_once: usize::MAX,
            in_step: false,
            memory: 1.0,
            cached: 0.0,
            clocks: 0.0,
            delay,
            alone: 0.0,
            exchange: 0.0,
            latencies: 0.0,
            read: 0.5,
        }
    }

    #[test]
    fn latencies_count_as_far_as_too_few_bytes_are_on_their_way() {
        let seconds = |latencies| {
            let stage = Stage {
                latencies,
                ..stage(20, 2, 3.0)
            };
            stage.time(&rates()).seconds
        };
        assert_eq!(seconds(1.0), seconds(0.0));
        assert_eq!(seconds(5.0), seconds(0.0) + 4.0);
    }

    #[test]
    fn one_wave_is_in_step_and_waits_at_once() {
        assert_eq!(stage(20, 2, 3.0).time(&rates()).seconds, 3.0 + 2.0);
        // Half of the multiprocessors take as long as all.
        assert_eq!(stage(5, 2, 0.0).time(&rates()).seconds, 1.0);
    }

    #[test]
    fn one_block_of_a_multiprocessor_hides_nothing_and_many_hide_all() {
        let of_ten_waves = |resident| {
            stage(100 * resident, resident, 1.0).time(&rates()).seconds / (10 * resident) as f64
        };
        assert_eq!(of_ten_waves(1), 2.0);
        assert!(of_ten_waves(2) < 1.5 && of_ten_waves(2) > 1.0);
        assert!(of_ten_waves(16) < 1.1);
    }

    #[test]
    fn what_is_in_flight_is_not_waited_for() {
        let stage = Stage {
            exchange: 0.5,
            ..stage(100, 1, 1.0)
        };
        assert_eq!(stage.time(&rates()).seconds, 20.0);
        assert_eq!(stage.time_with_next_in_flight(&rates()), 11.0);
        assert_eq!(stage.with_pushed_sums().time(&rates()).seconds, 17.5);
    }

    #[test]
    fn a_block_that_has_two_tiles_is_as_two_but_reduces_one_after_the_other() {
        let pipelined = |alone| Stage {
            tiles_of_block: 2,
            alone,
            ..stage(200, 1, 1.0)
        };
        let seconds = |stage: Stage| stage.time(&rates()).seconds;
        assert_eq!(seconds(pipelined(0.5)), seconds(stage(200, 2, 1.0)));
        assert!(seconds(pipelined(0.5)) < seconds(stage(200, 1, 1.0)));
        // Ten waves of 20 tiles, in each of which a block reduces two.
        assert_eq!(seconds(pipelined(4.0)), 3.0 + 9.0 * 8.0);
    }

    #[test]
    fn blocks_that_wait_for_all_hide_nothing_from_each_other() {
        let stage = Stage {
            in_step: true,
            ..stage(200, 2, 1.0)
        };
        // Ten waves of two bytes for each multiprocessor.
        assert_eq!(stage.time(&rates()).seconds, 10.0 * 3.0);
    }

    #[test]
    fn one_block_too_many_takes_a_wave() {
        let fits = stage(10, 1, 1.0).time(&rates()).seconds;
        assert_eq!(stage(11, 1, 1.0).time(&rates()).seconds, 2.0 * fits);
    }

    #[test]
    fn what_takes_longest_is_named() {
        let bound = |stage: Stage| stage.time(&rates()).bound;
        assert_eq!(bound(stage(10, 1, 0.5)), Bound::Memory);
        assert_eq!(bound(stage(10, 1, 1.5)), Bound::Latency);
        let counts = Stage {
            clocks: 2.0,
            ..stage(10, 1, 0.0)
        };
        assert_eq!(bound(counts), Bound::Instructions);
        let cached = Stage {
            memory: 0.0,
            cached: 1.0,
            ..stage(10, 1, 0.0)
        };
        assert_eq!(bound(cached), Bound::Cache);
    }
}
