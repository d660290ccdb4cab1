//! `BATCHNORM_PLAN` of any text: refused, or a plan that the device can launch and that leaves no value out.

use arbitrary::{Arbitrary, Result, Unstructured};
use batchnorm::gpu::plan::{Arrangement, Direction, LaunchPlan, TensorDescriptor, Tuning, choose};
use batchnorm::gpu::{Attributes, Strategy};
use batchnorm::{DType, Shape};

/// The target.
pub fn target(bytes: &[u8]) {
    let _ = plans(&mut Unstructured::new(bytes));
}

fn plans(bytes: &mut Unstructured<'_>) -> Result<()> {
    let dtype = *bytes.choose(&[DType::F32, DType::F16, DType::BF16, DType::F64])?;
    let direction = *bytes.choose(&[Direction::Forward, Direction::Backward])?;
    let shape = shape(bytes)?;
    let device = device(bytes)?;
    let Ok(tuning) = Tuning::parse(<&str>::arbitrary(bytes)?) else {
        return Ok(());
    };
    let descriptor = TensorDescriptor::of(&shape, dtype);
    for launch in choose(direction, &descriptor, dtype, &device, &tuning).launches() {
        check(launch, &descriptor, &device);
    }
    Ok(())
}

/// Of as many values as a GPU has room for.
fn shape(bytes: &mut Unstructured<'_>) -> Result<Shape> {
    const MOST: usize = 1 << 36;
    let mut dims = Vec::new();
    let mut room = MOST;
    for _ in 0..bytes.int_in_range(2..=5)? {
        let size = bytes.int_in_range(1..=room.min(1 << 22))?;
        room /= size;
        dims.push(size);
    }
    let layout = crate::layout(bytes)?;
    Ok(Shape::new(&dims, layout).expect("no dimension is zero"))
}

/// Of numbers that one GPU or another has.
fn device(bytes: &mut Unstructured<'_>) -> Result<Attributes> {
    // CUDA gives every block as much.
    let shared_per_block = bytes.int_in_range(48 << 10..=227 << 10)?;
    let cluster_blocks = *bytes.choose(&[1, 8, 16])?;
    Ok(Attributes {
        architecture: *bytes.choose(&[75, 80, 90, 120])?,
        multiprocessors: bytes.int_in_range(1..=264)?,
        shared_per_block,
        shared_per_multiprocessor: bytes.int_in_range(shared_per_block..=228 << 10)?,
        threads_per_multiprocessor: *bytes.choose(&[1024, 1536, 2048])?,
        l2_bytes: bytes.int_in_range(1 << 16..=100 << 20)?,
        memory_rate: bytes.int_in_range(0..=10_000_000_000_000)?,
        clock_khz: bytes.int_in_range(100_000..=3_000_000)?,
        cluster_blocks,
        cluster_blocks_alone: bytes.int_in_range(1..=cluster_blocks)?,
        cooperative: bool::arbitrary(bytes)?,
    })
}

/// That the device takes the launch, and that all of the array is somebody's.
fn check(plan: &LaunchPlan, descriptor: &TensorDescriptor, device: &Attributes) {
    let launch = plan.launch;
    assert!(launch.kernel.exists(), "{plan:?}");
    assert!(
        launch.blocks > 0 && launch.blocks.is_multiple_of(launch.cluster),
        "{plan:?}"
    );
    assert!((32..=512).contains(&launch.threads), "{plan:?}");
    assert!(launch.shared_bytes <= device.shared_per_block, "{plan:?}");
    assert!(launch.cluster <= device.cluster_blocks, "{plan:?}");
    assert!(device.cooperative || !launch.cooperative, "{plan:?}");
    let (len, units) = match descriptor.arrangement {
        Arrangement::Planes => (descriptor.channel_packets(), descriptor.channels),
        Arrangement::Columns => (
            descriptor.batch,
            descriptor.channels.div_ceil(plan.group_channels),
        ),
    };
    assert!(plan.tile * plan.tiles >= len, "{plan:?}");
    // These kernels take items until there is none.
    let takes_items = matches!(
        launch.kernel.strategy,
        Strategy::Ticketed | Strategy::Pipelined
    );
    if !takes_items {
        assert_eq!(launch.blocks as usize, units * plan.tiles, "{plan:?}");
    }
}
