//! What a launch must be for the kernels to be right and for the device to take it.

use crate::gpu::attributes::Attributes;
use crate::gpu::kernel::{Operation, Strategy};
use crate::gpu::plan::descriptor::{Arrangement, TensorDescriptor};
use crate::gpu::plan::launch_plan::LaunchPlan;
use crate::gpu::plan::occupancy::{
    BLOCKS_PER_MULTIPROCESSOR, MOST_BLOCKS, SharedBudgets, THREADS_ALONE,
};
use crate::gpu::plan::tuning::CLUSTERS;
use crate::gpu::workspace::{COUNTER_BYTES, PARTIAL_BYTES};

/// Holds what the kernels and the device need of a launch.
macro_rules! hold {
    ($plan:expr, $descriptor:expr, $($holds:expr),+ $(,)?) => {{
        $(assert!($holds, "{}: {:?} {:?}", stringify!($holds), $descriptor, $plan);)+
    }};
}

/// Everything a launch must be for the kernels to be right and the device to take it.
pub(super) fn check(plan: &LaunchPlan, descriptor: &TensorDescriptor, device: &Attributes) {
    hold!(plan, descriptor, plan.launch.kernel.exists());
    check_launch(plan, descriptor, device);
    check_partition(plan, descriptor);
    match descriptor.arrangement {
        Arrangement::Planes => check_planes(plan, descriptor),
        Arrangement::Columns => check_columns(plan, descriptor),
    }
    check_workspace(plan, descriptor);
}

/// What the device takes.
fn check_launch(plan: &LaunchPlan, descriptor: &TensorDescriptor, device: &Attributes) {
    let launch = &plan.launch;
    let blocks = launch.blocks as usize;
    hold!(
        plan,
        descriptor,
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
            descriptor,
            device.cooperative,
            blocks <= BLOCKS_PER_MULTIPROCESSOR * device.multiprocessors as usize,
            2 * (launch.shared_bytes + 1024) <= device.shared_per_multiprocessor,
        );
    }
}

/// A block that has a multiprocessor alone has as many threads as two that share it.
pub(super) fn check_occupancy(
    plan: &LaunchPlan,
    descriptor: &TensorDescriptor,
    device: &Attributes,
) {
    let is_alone = plan.launch.shared_bytes as usize > SharedBudgets::of(device).half;
    hold!(
        plan,
        descriptor,
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
fn whole(plan: &LaunchPlan, descriptor: &TensorDescriptor) -> (usize, usize) {
    match descriptor.arrangement {
        Arrangement::Planes => (descriptor.channel_packets(), descriptor.channels),
        Arrangement::Columns => (
            descriptor.batch,
            descriptor.channels.div_ceil(plan.group_channels),
        ),
    }
}

/// All of the array is somebody's, and nothing beyond it: only a cluster's last blocks may have nothing, of which the
/// kernels know.
fn check_partition(plan: &LaunchPlan, descriptor: &TensorDescriptor) {
    let (len, units) = whole(plan, descriptor);
    hold!(
        plan,
        descriptor,
        plan.tile > 0 && plan.tiles > 0,
        plan.tile * plan.tiles >= len,
        plan.tile * (plan.tiles - 1) < len || plan.launch.cluster > 1,
    );
    let blocks = plan.launch.blocks as usize;
    match plan.launch.kernel.strategy {
        // They take items until there is none.
        Strategy::Ticketed | Strategy::Pipelined => {
            hold!(plan, descriptor, blocks <= 2 * units * plan.tiles);
        }
        Strategy::OnChip => hold!(
            plan,
            descriptor,
            plan.tiles == plan.launch.cluster as usize,
            blocks == units * plan.tiles,
        ),
        Strategy::Split | Strategy::Persistent => {
            hold!(plan, descriptor, blocks == units * plan.tiles);
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

fn check_planes(plan: &LaunchPlan, descriptor: &TensorDescriptor) {
    let kept = match plan.launch.kernel.strategy {
        Strategy::OnChip => kept_arrays(plan) * plan.tile * 16,
        Strategy::Pipelined => plan.places * kept_arrays(plan) * plan.tile * 16,
        _ => 0,
    };
    let is_pipelined = plan.launch.kernel.strategy == Strategy::Pipelined;
    hold!(
        plan,
        descriptor,
        plan.launch.shared_bytes as usize >= kept,
        is_pipelined == (2..=3).contains(&plan.places),
    );
    if matches!(
        plan.launch.kernel.strategy,
        Strategy::Ticketed | Strategy::Pipelined
    ) {
        hold!(
            plan,
            descriptor,
            (1..=descriptor.channels).contains(&plan.group_channels),
            // An item's number.
            2 * descriptor.channels * plan.tiles < u32::MAX as usize,
        );
    }
}

fn check_columns(plan: &LaunchPlan, descriptor: &TensorDescriptor) {
    let values = plan.group_channels * descriptor.spatial;
    let packets = values / descriptor.lanes();
    hold!(
        plan,
        descriptor,
        plan.group_channels > 0,
        values.is_multiple_of(descriptor.lanes()),
        // A thread for each of a row.
        packets <= plan.launch.threads as usize,
        plan.kept_rows <= plan.tile,
        plan.launch.shared_bytes as usize >= column_shared(plan, descriptor, packets),
    );
    if plan.launch.kernel.strategy == Strategy::OnChip {
        hold!(plan, descriptor, plan.kept_rows == plan.tile);
    }
}

/// What `ColumnShared` of `kernels/column_walk.cuh` reaches.
fn column_shared(plan: &LaunchPlan, descriptor: &TensorDescriptor, packets: usize) -> usize {
    let sums = 2 * size_of::<f64>();
    let coefficients = 7 * descriptor.value_bytes.max(size_of::<f32>());
    kept_arrays(plan) * plan.kept_rows * packets * 16
        + packets.max(128) * descriptor.lanes() * sums
        + plan.group_channels * (sums + coefficients)
}

/// Counters and sums that a launch has in the workspace are there. (The separate steps use it for channels of more than
/// one tile only; what is on chip needs none.)
fn check_workspace(plan: &LaunchPlan, descriptor: &TensorDescriptor) {
    let (_, units) = whole(plan, descriptor);
    let counters = match plan.launch.kernel.strategy {
        Strategy::Ticketed | Strategy::Pipelined => 2 + 2 * units,
        Strategy::Persistent => 3 * units,
        Strategy::Split if reduces(plan.launch.kernel.operation) && plan.tiles > 1 => units,
        Strategy::Split | Strategy::OnChip => return,
    };
    hold!(
        plan,
        descriptor,
        counters * size_of::<u32>() <= COUNTER_BYTES,
        descriptor.channels * plan.tiles * 16 <= PARTIAL_BYTES,
    );
}

fn reduces(operation: Operation) -> bool {
    matches!(operation, Operation::Statistics | Operation::BackwardReduce)
}
