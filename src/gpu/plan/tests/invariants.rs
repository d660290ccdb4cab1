//! What must hold for every plan there is, whatever a person who tunes says.

use crate::element::DType;
use crate::gpu::driver::{Attributes, COUNTER_BYTES, PARTIAL_BYTES};
use crate::gpu::kernel::{Operation, Strategy};
use crate::gpu::plan::candidates::PlanQuery;
use crate::gpu::plan::launch_plan::{LaunchPlan, Pass, PassPlan};
use crate::gpu::plan::occupancy::{
    BLOCKS_PER_MULTIPROCESSOR, MOST_BLOCKS, SharedBudgets, THREADS, THREADS_ALONE,
};
use crate::gpu::plan::split::{MOST_TICKETED_CHANNELS, Step, step};
use crate::gpu::plan::tests::{HOPPER, TURING, view};
use crate::gpu::plan::tuning::{BLOCKS_OF_THREADS, CLUSTERS, Tuning};
use crate::gpu::plan::view::{Arrangement, View};
use crate::shape::Layout;

/// Holds what the kernels and the device need of a launch.
macro_rules! hold {
    ($plan:expr, $view:expr, $($holds:expr),+ $(,)?) => {{
        $(assert!($holds, "{}: {:?} {:?}", stringify!($holds), $view, $plan);)+
    }};
}

/// Everything a launch must be for the kernels to be right and the device to take it.
fn check(plan: &LaunchPlan, view: &View, device: &Attributes) {
    hold!(plan, view, plan.launch.kernel.exists());
    check_launch(plan, view, device);
    check_partition(plan, view);
    match view.arrangement {
        Arrangement::Planes => check_planes(plan, view),
        Arrangement::Columns => check_columns(plan, view),
    }
    check_workspace(plan, view);
}

/// What the device takes.
fn check_launch(plan: &LaunchPlan, view: &View, device: &Attributes) {
    let launch = &plan.launch;
    let blocks = launch.blocks as usize;
    hold!(
        plan,
        view,
        launch.threads.is_multiple_of(32) && (32..=512).contains(&launch.threads),
        (1..=MOST_BLOCKS).contains(&blocks),
        launch.shared_bytes <= device.shared_per_block - 1024,
        CLUSTERS.contains(&(launch.cluster as usize)),
        launch.cluster <= most_of_cluster(launch.shared_bytes, device),
        launch.blocks.is_multiple_of(launch.cluster),
    );
    if launch.cooperative {
        hold!(
            plan,
            view,
            device.cooperative,
            blocks <= BLOCKS_PER_MULTIPROCESSOR * device.multiprocessors as usize,
            2 * (launch.shared_bytes + 1024) <= device.shared_per_multiprocessor,
        );
    }
}

/// A block that has a multiprocessor alone has as many threads as two that share it.
fn check_occupancy(plan: &LaunchPlan, view: &View, device: &Attributes) {
    let is_alone = plan.launch.shared_bytes as usize > SharedBudgets::of(device).half;
    hold!(
        plan,
        view,
        is_alone == (plan.launch.threads as usize == THREADS_ALONE),
    );
}

/// The largest cluster of blocks that take so much shared memory.
fn most_of_cluster(shared_bytes: u32, device: &Attributes) -> u32 {
    if shared_bytes as usize <= SharedBudgets::of(device).half {
        device.cluster_blocks
    } else {
        device.cluster_blocks_alone
    }
}

/// Packets of a channel, or rows; and who has channels: each channel, or each group of columns.
fn whole(plan: &LaunchPlan, view: &View) -> (usize, usize) {
    match view.arrangement {
        Arrangement::Planes => (view.channel_packets(), view.channels),
        Arrangement::Columns => (view.batch, view.channels.div_ceil(plan.group_channels)),
    }
}

/// All of the array is somebody's, and nothing beyond it: only a cluster's last blocks may have nothing, of which the
/// kernels know.
fn check_partition(plan: &LaunchPlan, view: &View) {
    let (len, units) = whole(plan, view);
    hold!(
        plan,
        view,
        plan.tile > 0 && plan.tiles > 0,
        plan.tile * plan.tiles >= len,
        plan.tile * (plan.tiles - 1) < len || plan.launch.cluster > 1,
    );
    let blocks = plan.launch.blocks as usize;
    match plan.launch.kernel.strategy {
        // They take items until there is none.
        Strategy::Ticketed | Strategy::Pipelined => {
            hold!(plan, view, blocks <= 2 * units * plan.tiles);
        }
        Strategy::OnChip => hold!(
            plan,
            view,
            plan.tiles == plan.launch.cluster as usize,
            blocks == units * plan.tiles,
        ),
        Strategy::Split | Strategy::Persistent => {
            hold!(plan, view, blocks == units * plan.tiles);
        }
    }
}

/// Arrays that a pass keeps on the chip.
fn kept_arrays(plan: &LaunchPlan) -> usize {
    match plan.launch.kernel.operation {
        Operation::Backward => 2,
        _ => 1,
    }
}

fn check_planes(plan: &LaunchPlan, view: &View) {
    let kept = match plan.launch.kernel.strategy {
        Strategy::OnChip => kept_arrays(plan) * plan.tile * 16,
        Strategy::Pipelined => 2 * kept_arrays(plan) * plan.tile * 16,
        _ => 0,
    };
    hold!(plan, view, plan.launch.shared_bytes as usize >= kept);
    if matches!(
        plan.launch.kernel.strategy,
        Strategy::Ticketed | Strategy::Pipelined
    ) {
        hold!(
            plan,
            view,
            (1..=view.channels).contains(&plan.group_channels),
            // An item's number.
            2 * view.channels * plan.tiles < u32::MAX as usize,
        );
    }
}

fn check_columns(plan: &LaunchPlan, view: &View) {
    let values = plan.group_channels * view.spatial;
    let packets = values / view.lanes();
    hold!(
        plan,
        view,
        plan.group_channels > 0,
        values.is_multiple_of(view.lanes()),
        // A thread for each of a row.
        packets <= plan.launch.threads as usize,
        plan.kept_rows <= plan.tile,
        plan.launch.shared_bytes as usize >= column_shared(plan, view, packets),
    );
    if plan.launch.kernel.strategy == Strategy::OnChip {
        hold!(plan, view, plan.kept_rows == plan.tile);
    }
}

/// What `ColumnShared` of `kernels/column_walk.cuh` reaches.
fn column_shared(plan: &LaunchPlan, view: &View, packets: usize) -> usize {
    let sums = 2 * size_of::<f64>();
    let coefficients = 7 * view.value_bytes.max(size_of::<f32>());
    kept_arrays(plan) * plan.kept_rows * packets * 16
        + packets.max(128) * view.lanes() * sums
        + plan.group_channels * (sums + coefficients)
}

/// Counters and sums that a launch has in the workspace are there. (The separate steps use it for channels of more than
/// one tile only; what is on chip needs none.)
fn check_workspace(plan: &LaunchPlan, view: &View) {
    let (_, units) = whole(plan, view);
    let counters = match plan.launch.kernel.strategy {
        Strategy::Ticketed | Strategy::Pipelined => 2 + 2 * units,
        Strategy::Persistent => 3 * units,
        Strategy::Split if reduces(plan.launch.kernel.operation) && plan.tiles > 1 => units,
        Strategy::Split | Strategy::OnChip => return,
    };
    hold!(
        plan,
        view,
        counters * size_of::<u32>() <= COUNTER_BYTES,
        view.channels * plan.tiles * 16 <= PARTIAL_BYTES,
    );
}

fn reduces(operation: Operation) -> bool {
    matches!(operation, Operation::Statistics | Operation::BackwardReduce)
}

const DTYPES: [DType; 3] = [DType::F16, DType::F32, DType::F64];
const LAYOUTS: [Layout; 2] = [Layout::ChannelsFirst, Layout::ChannelsLast];

const SHAPES: [&[usize]; 26] = [
    &[2, 1],
    &[2, 3],
    &[1, 3, 2],
    &[2, 8, 4, 4],
    &[4096, 1024],
    &[65536, 64],
    &[3, 100_003],
    &[1 << 20, 1],
    &[7, 5, 255],
    &[7, 5, 127],
    &[7, 5, 63],
    &[9, 600, 31],
    &[32, 64, 112, 112],
    &[32, 2048, 7, 7],
    &[256, 64, 112, 112],
    &[4, 32, 64, 64, 64],
    &[1, 1, 399, 401],
    &[3, 2, 211, 307],
    &[1, 2, 1 << 30],
    &[1 << 21, 2048],
    &[2, 500_000, 3],
    &[2, 300_000, 200],
    &[1000, 3, 1000],
    &[2, 131_064, 300],
    &[2, 131_065, 300],
    &[64, 400_000],
];

/// As the test host plays it: the largest clusters there are.
const SIXTEEN: Attributes = Attributes {
    multiprocessors: 8,
    ..HOPPER
};

/// Whose GPCs have too few multiprocessors for a cluster of 16 blocks that are each alone on one.
const SMALL_GPCS: Attributes = Attributes {
    cluster_blocks_alone: 8,
    ..HOPPER
};

const WITHOUT_COOPERATION: Attributes = Attributes {
    cooperative: false,
    ..TURING
};

/// Everything that can be said, of each number its extremes and what lies between them.
fn tunings() -> Vec<Tuning> {
    let numbers = |some: &[usize]| -> Vec<Option<usize>> {
        std::iter::once(None)
            .chain(some.iter().copied().map(Some))
            .collect()
    };
    let columns = numbers(&[1, 2, 5, 31, 64, 127, 128, 129, 255, THREADS]);
    let groups = [1, 7, MOST_TICKETED_CHANNELS];
    let mut tunings = vec![];
    for strategy in [
        "",
        "split",
        "on-chip",
        "ticketed",
        "pipelined",
        "persistent",
    ] {
        let strategy = match strategy {
            "" => Tuning::default(),
            strategy => Tuning::parse(&format!("strategy={strategy}")).unwrap(),
        };
        for cluster in numbers(&CLUSTERS) {
            for &columns in &columns {
                let mut tuning = strategy.clone();
                if let Some(cluster) = cluster {
                    tuning = tuning.cluster(cluster).unwrap();
                }
                if let Some(columns) = columns {
                    tuning = tuning.columns(columns).unwrap();
                }
                tunings.push(tuning);
            }
        }
        tunings.extend(groups.map(|group| strategy.clone().group(group).unwrap()));
        tunings.extend([256, 300, 4096].map(|tile| strategy.clone().tile(tile).unwrap()));
        tunings.extend(BLOCKS_OF_THREADS.map(|some| strategy.clone().threads(some).unwrap()));
    }
    tunings
}

/// How many of the plans that could be chosen for a pass are of one launch; all were checked.
fn check_all(view: &View, dtype: DType, device: &Attributes, tunings: &[Tuning]) -> usize {
    let mut whole_passes = 0;
    for pass in [Pass::Forward, Pass::Backward] {
        for tuning in tunings {
            let query = PlanQuery {
                pass,
                view,
                dtype,
                device,
                tuning,
            };
            for candidate in query.candidates() {
                match candidate {
                    PassPlan::Whole(plan) => {
                        check(&plan, view, device);
                        if tuning.threads.is_none() {
                            check_occupancy(&plan, view, device);
                        }
                        whole_passes += 1;
                    }
                    PassPlan::Steps { reduce, write } => {
                        check(&reduce, view, device);
                        check(&write, view, device);
                    }
                }
            }
        }
    }
    whole_passes
}

#[test]
fn every_plan_covers_the_array_and_fits_the_device() {
    for dims in SHAPES {
        for (layout, dtype) in LAYOUTS.iter().flat_map(|&l| DTYPES.map(|d| (l, d))) {
            for device in [&HOPPER, &SIXTEEN, &TURING, &WITHOUT_COOPERATION] {
                let view = view(dims, layout, dtype);
                for step_of in [
                    Step::Statistics,
                    Step::Normalize,
                    Step::BackwardReduce,
                    Step::BackwardInput,
                ] {
                    check(&step(step_of, &view, dtype), &view, device);
                }
            }
        }
    }
}

#[test]
fn no_tuning_leaves_the_array_or_the_device() {
    let tunings = tunings();
    let mut whole_passes = 0;
    for dims in SHAPES {
        for (layout, dtype) in LAYOUTS.iter().flat_map(|&l| DTYPES.map(|d| (l, d))) {
            for device in [
                &HOPPER,
                &SIXTEEN,
                &SMALL_GPCS,
                &TURING,
                &WITHOUT_COOPERATION,
            ] {
                whole_passes += check_all(&view(dims, layout, dtype), dtype, device, &tunings);
            }
        }
    }
    assert!(whole_passes > 100_000, "{whole_passes}");
}

#[test]
fn what_copies_while_it_works_is_for_devices_that_can() {
    let tuning = Tuning::parse("strategy=pipelined").unwrap();
    let large = view(&[256, 64, 112, 112], Layout::ChannelsFirst, DType::F32);
    let whole_passes =
        |device| check_all(&large, DType::F32, device, std::slice::from_ref(&tuning));
    assert!(whole_passes(&Attributes::A100) > 0);
    assert_eq!(whole_passes(&TURING), 0);
}

/// Every width that a group of columns can be told, of channels that end in a packet and of such that do not.
#[test]
fn every_width_of_columns_has_a_thread_for_each_packet() {
    let widths: Vec<Tuning> = (1..=THREADS)
        .flat_map(|packets| {
            ["strategy=on-chip", "strategy=persistent"]
                .map(|text| Tuning::parse(text).unwrap().columns(packets).unwrap())
        })
        .collect();
    let mut whole_passes = 0;
    for spatial in [1, 2, 3, 4, 7, 8, 12, 49, 63, 64, 100, 127, 254, 255] {
        for (batch, channels) in [(2, 1), (5, 7), (33, 300), (700, 5000)] {
            for (layout, dtype) in LAYOUTS.iter().flat_map(|&l| DTYPES.map(|d| (l, d))) {
                let view = view(&[batch, channels, spatial], layout, dtype);
                whole_passes += check_all(&view, dtype, &SIXTEEN, &widths);
            }
        }
    }
    assert!(whole_passes > 100_000, "{whole_passes}");
}
