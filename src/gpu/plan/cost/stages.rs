//! What the blocks of each strategy move and wait for.

use crate::gpu::attributes::Attributes;
use crate::gpu::kernel::Strategy;
use crate::gpu::plan::cost::constants::{KernelConstants, SEGMENTS};
use crate::gpu::plan::cost::rates::{NANOSECOND, Rates};
use crate::gpu::plan::cost::waves::Stage;
use crate::gpu::plan::descriptor::{Arrangement, PACKET_BYTES, TensorDescriptor};
use crate::gpu::plan::launch_plan::{Direction, LaunchPlan, PassPlan};

/// 32-bit registers of a multiprocessor, of every GPU since Kepler.
const REGISTERS: f64 = 65536.0;
/// Blocks that a multiprocessor has at the most.
const MOST_RESIDENT: usize = 32;
/// Shared memory that each block costs beside its own: the driver's, and the kernels' own arrays.
const SHARED_OF_BLOCK: usize = 1280;
/// Threads of a warp, the packets that one instruction is for.
const WARP: f64 = 32.0;

/// All that a prediction depends on.
pub(super) struct Query<'a> {
    pub direction: Direction,
    pub descriptor: &'a TensorDescriptor,
    pub device: &'a Attributes,
    pub rates: &'a Rates,
    pub kernels: &'a KernelConstants,
}

impl Query<'_> {
    /// One for each launch.
    pub(super) fn stages(&self, plan: &PassPlan) -> [Option<Stage>; 2] {
        match plan {
            PassPlan::Whole(whole) => [Some(self.stage_of(whole)), None],
            PassPlan::Steps { reduce, write } => {
                [Some(self.step(reduce, true)), Some(self.step(write, false))]
            }
        }
    }

    /// That of a pass in one launch.
    pub(super) fn stage_of(&self, plan: &LaunchPlan) -> Stage {
        match (plan.launch.kernel.strategy, self.descriptor.arrangement) {
            (Strategy::Ticketed, _) => self.ticketed(plan),
            (Strategy::Pipelined, _) => self.pipelined(plan),
            (_, Arrangement::Planes) => self.planes_on_chip(plan),
            (_, Arrangement::Columns) => self.columns_resident(plan),
        }
    }

    /// Blocks that each have a channel's part in shared memory.
    fn planes_on_chip(&self, plan: &LaunchPlan) -> Stage {
        let rounds = rounds_of(plan.tile, plan.launch.threads as usize, self.plane_loads());
        let constants = self.rates.constants;
        let delay = constants.plane_reduction.value + self.cluster_exchange(plan);
        let latencies = rounds * constants.memory_latency.value;
        let blocks = plan.launch.blocks as usize;
        Stage {
            memory: self.bytes(self.arrays() + 1.0) / blocks as f64,
            clocks: self.clocks() / blocks as f64,
            exchange: self.cluster_exchange(plan) * NANOSECOND,
            ..self.stage(plan, blocks, delay, latencies)
        }
    }

    /// Blocks that keep rows in shared memory: all of them, or what fits.
    fn columns_resident(&self, plan: &LaunchPlan) -> Stage {
        let constants = self.rates.constants;
        let rows_at_once = self.rows_at_once(plan);
        let rounds = |rows: usize, loads| rounds_of(rows, rows_at_once, loads);
        let loads = self.kernels.resident_loads[self.index()].value;
        let kept = plan.kept_rows.min(plan.tile) as f64 / plan.tile as f64;
        let again = self.bytes(self.arrays()) * (1.0 - kept);
        let groups = self.descriptor.channels.div_ceil(plan.group_channels);
        let at_once = plan.launch.blocks as usize / plan.tiles;
        let cached = if at_once < groups {
            // What is not kept of the groups of this turn, and what is written of them, are in the cache.
            let of_turn = at_once as f64 / groups as f64;
            let live = of_turn * (again + self.bytes(1.0));
            again * (self.rates.cache_bytes / live).min(1.0)
        } else {
            again.min(self.rates.cache_bytes)
        };
        let latency_again = if cached < again {
            constants.memory_latency
        } else {
            constants.cache_latency
        };
        let exchange = match plan.launch.kernel.strategy {
            Strategy::Persistent => constants.grid.value,
            _ => self.cluster_exchange(plan),
        };
        let delay = constants.column_reduction.value + exchange;
        let latencies = rounds(plan.tile, loads) * constants.memory_latency.value
            + rounds(plan.tile - plan.kept_rows.min(plan.tile), loads) * latency_again.value;
        // In turn each is a block to the model.
        let blocks = groups * plan.tiles;
        let memory = self.bytes(self.arrays() + 1.0) + again - cached;
        let stage = self.stage(plan, blocks, delay, latencies);
        Stage {
            memory: memory / self.segment_share(plan) / blocks as f64,
            cached: cached / blocks as f64,
            clocks: self.clocks() / self.busy_threads(plan) / blocks as f64,
            exchange: self.cluster_exchange(plan) * NANOSECOND,
            most_at_once: stage.most_at_once.min(plan.launch.blocks as usize),
            // Blocks of one group alone all wait for it.
            in_step: at_once == 1 && plan.launch.cooperative,
            ..stage
        }
    }

    /// Pairs of items: a tile's sums, and the same tile written.
    fn ticketed(&self, plan: &LaunchPlan) -> Stage {
        let constants = self.rates.constants;
        let pairs = self.descriptor.channels * plan.tiles;
        let rounds = rounds_of(plan.tile, plan.launch.threads as usize, self.plane_loads());
        // A group is written while the next is read: both and what is written are in the cache.
        let channel_bytes = self.bytes(1.0) / self.descriptor.channels as f64;
        let group_bytes = channel_bytes * plan.group_channels.min(self.descriptor.channels) as f64;
        let live = group_bytes * (2.0 * self.arrays() + 1.0);
        let hit = (self.rates.cache_bytes / live).min(1.0);
        let again = self.bytes(self.arrays());
        let latency_again = if hit < 1.0 {
            constants.memory_latency
        } else {
            constants.cache_latency
        };
        let delay = 2.0 * self.kernels.ticket.value
            + latency_again.value
            + constants.plane_reduction.value
            + constants.block.value;
        let items_in_flight = 2 * plan.group_channels.min(self.descriptor.channels) * plan.tiles;
        let latencies =
            rounds * constants.memory_latency.value + (rounds - 1.0) * latency_again.value;
        let stage = self.stage(plan, pairs, delay, latencies);
        Stage {
            memory: (self.bytes(self.arrays() + 1.0) + again * (1.0 - hit)) / pairs as f64,
            cached: again * hit / pairs as f64,
            clocks: self.clocks() / pairs as f64,
            most_at_once: stage.most_at_once.min(items_in_flight),
            ..stage
        }
    }

    /// The same, each tile as a whole on its way while the one before it is worked on.
    fn pipelined(&self, plan: &LaunchPlan) -> Stage {
        let ticketed = self.ticketed(plan);
        let copies = self.slots(self.kernels.copy_issue[self.index()].value);
        let clocks = ticketed.clocks + copies / ticketed.blocks as f64;
        let reduction =
            2.0 * self.kernels.ticket.value + self.rates.constants.plane_reduction.value;
        Stage {
            tiles_of_block: plan.places,
            clocks,
            alone: reduction * NANOSECOND + clocks / self.rates.clock,
            latencies: 0.0,
            ..ticketed
        }
    }

    /// One of the two launches of a pass in steps.
    fn step(&self, plan: &LaunchPlan, reduces: bool) -> Stage {
        let constants = self.rates.constants;
        let again = self.bytes(self.arrays());
        // The second reads in reverse what the first read last.
        let cached = again.min(self.rates.cache_bytes);
        let (at_once, reduction, segments, threads) = match self.descriptor.arrangement {
            Arrangement::Planes => (
                plan.launch.threads as usize,
                constants.plane_reduction.value,
                1.0,
                1.0,
            ),
            Arrangement::Columns => (
                self.rows_at_once(plan),
                constants.column_reduction.value,
                self.segment_share(plan),
                self.busy_threads(plan),
            ),
        };
        let latency = if reduces || cached < again {
            constants.memory_latency
        } else {
            constants.cache_latency
        };
        let reducing = self.kernels.issue_share_of_reduction.value;
        let latencies = rounds_of(plan.tile, at_once, self.plane_loads()) * latency.value;
        let (delay, memory, cached, share) = if reduces {
            // The last block of a channel finds the sums of the others.
            let publish = if plan.tiles > 1 {
                constants.grid.value
            } else {
                0.0
            };
            (reduction + publish, again, 0.0, reducing)
        } else {
            let memory = self.bytes(1.0) + again - cached;
            (
                constants.memory_latency.value,
                memory,
                cached,
                1.0 - reducing,
            )
        };
        let blocks = plan.launch.blocks as usize;
        Stage {
            memory: memory / segments / blocks as f64,
            cached: cached / blocks as f64,
            clocks: self.clocks() * share / threads / blocks as f64,
            read: if reduces { 1.0 } else { self.share_read() },
            ..self.stage(plan, blocks, delay, latencies)
        }
    }

    /// Blocks of a launch that move nothing yet. In nanoseconds: `delay`, beside a first latency, and all `latencies`.
    fn stage(&self, plan: &LaunchPlan, blocks: usize, delay: f64, latencies: f64) -> Stage {
        let (launch, constants) = (&plan.launch, self.rates.constants);
        let first = latencies.min(constants.memory_latency.value);
        let threads = launch.threads as usize;
        let by_registers = REGISTERS / (self.kernels.registers.value * f64::from(launch.threads));
        let by_threads = self.device.threads_per_multiprocessor as usize / threads;
        let by_shared = self.device.shared_per_multiprocessor as usize
            / (launch.shared_bytes as usize + SHARED_OF_BLOCK);
        let resident = whole(by_registers)
            .min(by_threads)
            .min(by_shared)
            .clamp(1, MOST_RESIDENT);
        Stage {
            blocks,
            resident,
            tiles_of_block: 1,
            most_at_once: self.most_at_once(launch.cluster as usize, resident),
            in_step: false,
            memory: 0.0,
            cached: 0.0,
            clocks: 0.0,
            delay: (delay + constants.block.value + first) * NANOSECOND,
            alone: 0.0,
            exchange: 0.0,
            latencies: (latencies - first).max(0.0) * NANOSECOND,
            read: self.share_read(),
        }
    }

    /// Blocks of clusters that run at once: a cluster lies on so many neighbouring multiprocessors, and what it does not
    /// divide of them is idle.
    fn most_at_once(&self, cluster: usize, resident: usize) -> usize {
        if cluster <= 2 {
            return usize::MAX;
        }
        let neighbours = whole(self.rates.constants.cluster_multiprocessors.value);
        let places = self.rates.multiprocessors / neighbours;
        let clusters = places * (neighbours * resident / cluster);
        (clusters * cluster).max(cluster)
    }

    /// Of the arrays that are moved, those that are read.
    fn share_read(&self) -> f64 {
        self.arrays() / (self.arrays() + 1.0)
    }

    fn arrays(&self) -> f64 {
        self.direction.arrays() as f64
    }

    pub(super) fn index(&self) -> usize {
        self.direction.arrays() - 1
    }

    /// Bytes of so many arrays.
    fn bytes(&self, arrays: f64) -> f64 {
        arrays * self.descriptor.bytes() as f64
    }

    fn plane_loads(&self) -> f64 {
        self.kernels.plane_loads[self.index()].value
    }

    /// Clocks in which one multiprocessor would issue the whole pass.
    fn clocks(&self) -> f64 {
        let issue = match self.descriptor.arrangement {
            Arrangement::Planes => self.kernels.plane_issue[self.index()],
            Arrangement::Columns => self.kernels.column_issue[self.index()],
        };
        let share = if self.descriptor.value_bytes == 2 {
            1.0
        } else {
            self.kernels.issue_share_of_f32.value
        };
        self.slots(issue.value * share)
    }

    /// Clocks in which one multiprocessor would issue so many slots for every packet.
    pub(super) fn slots(&self, of_packet: f64) -> f64 {
        /// Warps that a multiprocessor issues for in a clock.
        const SCHEDULERS: f64 = 4.0;
        let packets = self.bytes(1.0) / PACKET_BYTES as f64;
        packets / WARP * of_packet / SCHEDULERS
    }

    /// Packets of a row of a group of columns.
    pub(super) fn group_packets(&self, plan: &LaunchPlan) -> usize {
        (plan.group_channels * self.descriptor.spatial)
            .div_ceil(self.descriptor.lanes())
            .min(self.descriptor.packets())
            .max(1)
    }

    /// Rows that a block walks together.
    fn rows_at_once(&self, plan: &LaunchPlan) -> usize {
        (plan.launch.threads as usize / self.group_packets(plan)).max(1)
    }

    /// The share of threads that have a packet of a row.
    fn busy_threads(&self, plan: &LaunchPlan) -> f64 {
        let walking = self.rows_at_once(plan) * self.group_packets(plan);
        walking as f64 / f64::from(plan.launch.threads)
    }

    /// What memory gives of its rate where a block reads pieces of a row.
    fn segment_share(&self, plan: &LaunchPlan) -> f64 {
        let group = self.group_packets(plan);
        if group == self.descriptor.packets() {
            return 1.0;
        }
        let from = |&&(bytes, _): &&(usize, _)| group * PACKET_BYTES >= bytes;
        SEGMENTS
            .iter()
            .rfind(from)
            .map_or(1.0, |(_, share)| share.value)
    }

    /// Nanoseconds in which a cluster's blocks find each other's sums.
    fn cluster_exchange(&self, plan: &LaunchPlan) -> f64 {
        let constants = self.rates.constants;
        match plan.launch.cluster {
            1 => 0.0,
            blocks => constants.cluster.value + f64::from(blocks) * constants.cluster_block.value,
        }
    }
}

/// How often a thread waits for memory: `len` packets or rows of a block, `at_once` together, of each thread `loads` on their
/// way.
fn rounds_of(len: usize, at_once: usize, loads: f64) -> f64 {
    (len as f64 / (at_once as f64 * loads)).ceil()
}

/// A small count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "constants of a few digits, above zero"
)]
fn whole(count: f64) -> usize {
    count as usize
}
