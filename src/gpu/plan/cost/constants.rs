//! THE ONLY NUMBERS OF THE MODEL: what a device and the kernels take for what a plan asks of them, each with its unit,
//! where it is from, and whether it was measured. None has been yet: `benches/gpu/constants.py` writes those that were into
//! [`HOPPER`].

/// One number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constant {
    /// In the unit.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// How sure it is.
    pub status: Status,
}

/// Whether somebody has timed it on the device with these kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// From published figures, data sheets, or counting.
    Predicted,
    /// By `benches/gpu/`.
    Measured,
}

const fn predicted(value: f64, unit: &'static str, source: &'static str) -> Constant {
    let status = Status::Predicted;
    Constant {
        value,
        unit,
        source,
        status,
    }
}

/// What was timed on a device, of which the source names the run.
pub const fn measured(value: f64, unit: &'static str, source: &'static str) -> Constant {
    let status = Status::Measured;
    Constant {
        value,
        unit,
        source,
        status,
    }
}

const NANOSECONDS: &str = "ns";
const BYTES_PER_CLOCK: &str = "bytes a clock of a multiprocessor";

/// What a class of devices takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceConstants {
    /// Which devices.
    pub class: &'static str,
    /// Bytes that memory moves at the most, where the driver does not say.
    pub peak_rate: Constant,
    /// What a copy reaches of it.
    pub copy_share: Constant,
    /// What the clock stays at, of the one that the driver reports.
    pub clock_share: Constant,
    /// From a load to its value, from memory.
    pub memory_latency: Constant,
    /// The same from the second-level cache.
    pub cache_latency: Constant,
    /// What all multiprocessors together get from the second-level cache.
    pub cache_rate: Constant,
    /// What one multiprocessor gets while the others are idle.
    pub rate_alone: Constant,
    /// What of the second-level cache is found again by another multiprocessor.
    pub cache_share: Constant,
    /// From the end of a kernel in a graph to the first instruction of the next, and its end.
    pub launch: Constant,
    /// A block's begin and end.
    pub block: Constant,
    /// From a block's last load to the coefficients of its channel: sums of the block, statistics, γ and β.
    pub plane_reduction: Constant,
    /// The same of a group of columns, which many threads share.
    pub column_reduction: Constant,
    /// Two barriers of a cluster, and the read of another block's sums.
    pub cluster: Constant,
    /// Each block more of a cluster.
    pub cluster_block: Constant,
    /// Sums published to blocks of the whole grid, and found by them.
    pub grid: Constant,
    /// Multiprocessors that a cluster can lie on.
    pub cluster_multiprocessors: Constant,
}

/// H100 and H200, and what comes after them until it is known better.
pub const HOPPER: DeviceConstants = PREDICTED_OF_HOPPER;

/// What was known of them before one was at hand.
const PREDICTED_OF_HOPPER: DeviceConstants = DeviceConstants {
    class: "H100, H200",
    peak_rate: predicted(3.35e12, "bytes a second", "data sheet of the H100 SXM"),
    copy_share: predicted(
        0.88,
        "of the peak",
        "published copies: 3.0 of 3.35 TB/s (H100), 4.1 of 4.8 TB/s (H200)",
    ),
    clock_share: predicted(0.9, "of the boost clock", "1.755 of 1.98 GHz under load"),
    memory_latency: predicted(560.0, NANOSECONDS, "published pointer chases on the H100"),
    cache_latency: predicted(260.0, NANOSECONDS, "published, the far half of the cache"),
    cache_rate: predicted(
        24.0,
        BYTES_PER_CLOCK,
        "published reads: 5.5 TB/s of 132 multiprocessors",
    ),
    rate_alone: predicted(
        40.0,
        BYTES_PER_CLOCK,
        "64 bytes a clock at best, of which loads of 16 bytes reach about two thirds",
    ),
    cache_share: predicted(
        0.5,
        "of the cache",
        "it is two halves, each of which keeps what its own multiprocessors read",
    ),
    launch: predicted(
        1300.0,
        NANOSECONDS,
        "published kernels of 4 MB take 3 us, of which loads and stores are the rest",
    ),
    block: predicted(400.0, NANOSECONDS, "estimate: 700 clocks"),
    plane_reduction: predicted(
        1000.0,
        NANOSECONDS,
        "counted: 3 barriers, 20 shuffles, 2 divisions and a root in f64, one load of memory",
    ),
    column_reduction: predicted(
        1700.0,
        NANOSECONDS,
        "counted: 6 barriers, sums through shared memory, then as planes",
    ),
    cluster: predicted(
        700.0,
        NANOSECONDS,
        "published: 180 to 210 clocks a hop, of which it takes six",
    ),
    cluster_block: predicted(
        60.0,
        NANOSECONDS,
        "published: large clusters cost a short kernel a fifth",
    ),
    grid: predicted(1800.0, NANOSECONDS, "published grid barriers: 1.5 to 2 us"),
    cluster_multiprocessors: predicted(
        16.0,
        "multiprocessors",
        "a cluster is in one GPC, of 16 or 18 multiprocessors",
    ),
};

/// A100.
pub const AMPERE: DeviceConstants = DeviceConstants {
    class: "A100",
    peak_rate: predicted(1.555e12, "bytes a second", "data sheet of the A100 40 GB"),
    copy_share: predicted(0.88, "of the peak", "published copies: 1.37 of 1.555 TB/s"),
    clock_share: predicted(0.95, "of the boost clock", "1.34 of 1.41 GHz under load"),
    memory_latency: predicted(480.0, NANOSECONDS, "published pointer chases"),
    cache_latency: predicted(240.0, NANOSECONDS, "published, the far half of the cache"),
    cache_rate: predicted(24.0, BYTES_PER_CLOCK, "published reads: 3.5 TB/s of 108"),
    plane_reduction: predicted(1300.0, NANOSECONDS, "as Hopper's, at its clock"),
    column_reduction: predicted(2200.0, NANOSECONDS, "as Hopper's, at its clock"),
    ..PREDICTED_OF_HOPPER
};

/// Every other: what is known of Hopper, with a memory that reports how fast it is.
pub const OTHER: DeviceConstants = DeviceConstants {
    class: "other",
    peak_rate: predicted(
        0.32e12,
        "bytes a second",
        "data sheet of the T4, the slowest there are kernels for",
    ),
    cache_share: predicted(
        0.7,
        "of the cache",
        "one piece, unlike that of the large ones",
    ),
    ..PREDICTED_OF_HOPPER
};

impl DeviceConstants {
    /// Of an architecture, as [`Attributes::architecture`](crate::gpu::Attributes::architecture) has it.
    pub(super) fn of(architecture: u32) -> &'static Self {
        match architecture {
            80 => &AMPERE,
            90 => &HOPPER,
            _ => &OTHER,
        }
    }

    /// Each with what it is.
    pub fn table(&self) -> [(&'static str, Constant); 16] {
        [
            (
                "memory's peak, where the driver does not say",
                self.peak_rate,
            ),
            ("a copy's share of it", self.copy_share),
            ("the clock's share", self.clock_share),
            ("latency of memory", self.memory_latency),
            ("latency of the second-level cache", self.cache_latency),
            ("the second-level cache gives", self.cache_rate),
            ("a multiprocessor alone is given", self.rate_alone),
            ("the cache keeps", self.cache_share),
            ("a launch", self.launch),
            ("a block's begin and end", self.block),
            ("a block's reduction, planes", self.plane_reduction),
            ("a block's reduction, columns", self.column_reduction),
            ("a cluster's exchange", self.cluster),
            ("each block of a cluster", self.cluster_block),
            ("the grid's exchange", self.grid),
            ("a cluster lies on", self.cluster_multiprocessors),
        ]
    }
}

/// What the kernels take, as the assembler makes them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelConstants {
    /// 32-bit registers of a thread.
    pub registers: Constant,
    /// Packets, or pairs of them, that a thread has on their way, forward and backward: on planes.
    pub plane_loads: [Constant; 2],
    /// The same of rows that are kept on the chip.
    pub resident_loads: [Constant; 2],
    /// Issue slots of a warp for a packet of planes and all that is done with it, forward and backward, of a 16-bit type.
    pub plane_issue: [Constant; 2],
    /// What it takes beside that to copy a packet, or a pair, of any type to shared memory: for its sums, and again for what is
    /// written.
    pub copy_issue: [Constant; 2],
    /// The same of columns.
    pub column_issue: [Constant; 2],
    /// What a packet of half as many values takes of that.
    pub issue_share_of_f32: Constant,
    /// Of a packet's issue slots, what the first of two launches takes.
    pub issue_share_of_reduction: Constant,
    /// Taking the next item in order.
    pub ticket: Constant,
}

/// The kernels of this crate, as `tests/ptxas/model.rs` counts them for compute capability 9.0.
pub const KERNELS: KernelConstants = KernelConstants {
    registers: predicted(
        128.0,
        "registers",
        "launch bounds: two blocks of 256 threads",
    ),
    plane_loads: [
        predicted(4.0, LOADS, "kernels/planes.cuh"),
        predicted(2.0, LOADS, "kernels/planes.cuh"),
    ],
    resident_loads: [
        predicted(4.0, LOADS, "kernels/column_walk.cuh"),
        predicted(2.0, LOADS, "kernels/column_walk.cuh"),
    ],
    plane_issue: [
        predicted(104.0, SLOTS, COUNTED),
        predicted(154.0, SLOTS, COUNTED),
    ],
    copy_issue: [
        predicted(51.0, SLOTS, COUNTED),
        predicted(65.0, SLOTS, COUNTED),
    ],
    column_issue: [
        predicted(134.0, SLOTS, COUNTED),
        predicted(198.0, SLOTS, COUNTED),
    ],
    issue_share_of_f32: predicted(0.55, "of that", COUNTED),
    issue_share_of_reduction: predicted(0.5, "of that", COUNTED),
    ticket: predicted(300.0, NANOSECONDS, "a relaxed ticket, one item ahead"),
};

/// What memory gives of its rate where neighbouring rows of a block are apart, by the bytes of a row from which on.
pub const SEGMENTS: [(usize, Constant); 5] = [
    (
        0,
        predicted(
            0.4,
            PIECES,
            "published for the H100: 16 streams of 32 bytes, less than half",
        ),
    ),
    (
        64,
        predicted(0.8, PIECES, "estimate: between the published ones"),
    ),
    (
        128,
        predicted(
            0.93,
            PIECES,
            "published for the H100: 4 streams of 128 bytes",
        ),
    ),
    (
        256,
        predicted(
            0.99,
            PIECES,
            "published for the H100: 2 streams of 256 bytes",
        ),
    ),
    (
        512,
        predicted(
            1.0,
            PIECES,
            "published for the H100: one stream of 512 bytes",
        ),
    ),
];

const COUNTED: &str = "counted in machine code: tests/ptxas/model.rs, which holds it";
const PIECES: &str = "of the rate";
const LOADS: &str = "packets of a thread";
const SLOTS: &str = "issue slots of a warp";

impl KernelConstants {
    /// Each with what it is.
    pub fn table(&self) -> [(&'static str, Constant); 14] {
        [
            ("registers of a thread", self.registers),
            ("on their way, planes, forward", self.plane_loads[0]),
            ("on their way, planes, backward", self.plane_loads[1]),
            ("on their way, kept rows, forward", self.resident_loads[0]),
            ("on their way, kept rows, backward", self.resident_loads[1]),
            ("a packet of planes, forward", self.plane_issue[0]),
            ("a packet of planes, backward", self.plane_issue[1]),
            (
                "copies of a packet to shared memory, forward",
                self.copy_issue[0],
            ),
            (
                "copies of a packet to shared memory, backward",
                self.copy_issue[1],
            ),
            ("a packet of columns, forward", self.column_issue[0]),
            ("a packet of columns, backward", self.column_issue[1]),
            ("a packet of f32 takes", self.issue_share_of_f32),
            ("a packet's reduction takes", self.issue_share_of_reduction),
            ("a ticket", self.ticket),
        ]
    }
}
