//! The plan at the boundaries of its regimes, and what must hold for every plan there is.

use crate::element::DType;
use crate::gpu::driver::{Attributes, COUNTER_BYTES, PARTIAL_BYTES};
use crate::gpu::kernel::Operation;
use crate::gpu::plan::split::{BLOCKS_PER_MULTIPROCESSOR, Step, most_tiles, step};
use crate::gpu::plan::tuning::{Tuning, Way};
use crate::gpu::plan::view::{Family, View};
use crate::gpu::plan::{Cut, Pass, fused};
use crate::shape::{Layout, Shape};

/// An H200's numbers, as its data sheet and the CUDA programming guide have them.
const HOPPER: Attributes = Attributes {
    architecture: 90,
    multiprocessors: 132,
    shared_per_block: 227 << 10,
    shared_per_multiprocessor: 228 << 10,
    threads_per_multiprocessor: 2048,
    l2_bytes: 60 << 20,
    cluster_blocks: 8,
    cooperative: true,
};

/// A T4's: no clusters, little shared memory.
const TURING: Attributes = Attributes {
    architecture: 75,
    multiprocessors: 40,
    shared_per_block: 64 << 10,
    shared_per_multiprocessor: 64 << 10,
    threads_per_multiprocessor: 1024,
    l2_bytes: 4 << 20,
    cluster_blocks: 1,
    cooperative: true,
};

fn view(dims: &[usize], layout: Layout, dtype: DType) -> View {
    View::of(&Shape::new(dims, layout).unwrap(), dtype)
}

fn first(dims: &[usize], dtype: DType) -> View {
    view(dims, Layout::ChannelsFirst, dtype)
}

fn plan(pass: Pass, view: &View, dtype: DType, device: &Attributes) -> Option<Cut> {
    fused(pass, view, dtype, device, &Tuning::default())
}

fn operation(cut: Option<Cut>) -> Option<Operation> {
    cut.map(|cut| cut.launch.kernel.operation)
}

#[test]
fn a_channel_that_fits_a_block_is_one_block() {
    // 32·28·28 values of 4 bytes: 98 KB, and 512 channels fill the device.
    let cut = plan(
        Pass::Forward,
        &first(&[32, 512, 28, 28], DType::F32),
        DType::F32,
        &HOPPER,
    )
    .unwrap();
    assert_eq!(cut.launch.kernel.operation, Operation::PlanesOnChipForward);
    assert_eq!(
        (
            cut.launch.cluster,
            cut.launch.blocks,
            cut.launch.shared_bytes
        ),
        (1, 512, 98 << 10)
    );
}

#[test]
fn few_channels_are_spread_over_clusters() {
    // The same channel, but 64 of them: four blocks each, parts of 24.5 KB, to give 132 multiprocessors work.
    let cut = plan(
        Pass::Forward,
        &first(&[32, 64, 28, 28], DType::F32),
        DType::F32,
        &HOPPER,
    )
    .unwrap();
    assert_eq!((cut.launch.cluster, cut.launch.blocks), (8, 512));
    // Parts of less than 8 KB are not worth it: 8·28·28 values are 24.5 KB, halves 12 KB, quarters 6 KB.
    let cut = plan(
        Pass::Forward,
        &first(&[8, 64, 28, 28], DType::F32),
        DType::F32,
        &HOPPER,
    )
    .unwrap();
    assert_eq!((cut.launch.cluster, cut.launch.blocks), (2, 128));
}

#[test]
fn a_cluster_grows_with_the_channel_until_it_cannot() {
    let size = |batch: usize| {
        plan(
            Pass::Forward,
            &first(&[batch, 512, 56, 56], DType::F32),
            DType::F32,
            &HOPPER,
        )
    };
    // 12.25 KB a plane; two blocks of 112 KB fit a multiprocessor.
    let clusters: Vec<_> = [8, 16, 32, 64]
        .map(|batch| size(batch).unwrap().launch.cluster)
        .into();
    assert_eq!(clusters, [1, 2, 4, 8]);
    // 144 planes are 1764 KB: eighths of 220 KB, one block a multiprocessor.
    let cut = size(144).unwrap();
    assert_eq!(
        (cut.launch.cluster, cut.launch.kernel.operation),
        (8, Operation::PlanesOnChipForward)
    );
    assert!(cut.launch.shared_bytes > 114 << 10);
    // 148 planes are 1813 KB: no cluster of 8 has that.
    assert_eq!(operation(size(148)), Some(Operation::PlanesTicketedForward));
}

#[test]
fn backward_keeps_two_arrays() {
    let shape = first(&[16, 512, 56, 56], DType::F32);
    assert_eq!(
        plan(Pass::Forward, &shape, DType::F32, &HOPPER)
            .unwrap()
            .launch
            .cluster,
        2
    );
    let backward = plan(Pass::Backward, &shape, DType::F32, &HOPPER).unwrap();
    assert_eq!(
        (backward.launch.cluster, backward.launch.kernel.operation),
        (4, Operation::PlanesOnChipBackward)
    );
}

#[test]
fn without_clusters_large_channels_are_ticketed_and_small_arrays_split() {
    let large = first(&[32, 256, 56, 56], DType::F32);
    assert_eq!(
        operation(plan(Pass::Forward, &large, DType::F32, &TURING)),
        Some(Operation::PlanesTicketedForward)
    );
    // Channels of 98 KB, but 0.8 MB in all, of 4 MB of cache: the second pass finds it there.
    let small = first(&[8, 8, 56, 56], DType::F32);
    assert_eq!(
        operation(plan(Pass::Forward, &small, DType::F32, &TURING)),
        None
    );
    // What fits a block is on chip all the same.
    let on_chip = first(&[2, 32, 56, 56], DType::F32);
    assert_eq!(
        operation(plan(Pass::Forward, &on_chip, DType::F32, &TURING)),
        Some(Operation::PlanesOnChipForward)
    );
}

#[test]
fn groups_of_tickets_leave_room_in_the_cache() {
    // 12.25 MB a channel of 60 MB: a sixth is less than one channel, so one.
    let huge = first(&[256, 64, 112, 112], DType::F32);
    let cut = plan(Pass::Forward, &huge, DType::F32, &HOPPER).unwrap();
    assert_eq!(
        (cut.launch.kernel.operation, cut.group_channels),
        (Operation::PlanesTicketedForward, 1)
    );
    assert_eq!(cut.launch.blocks, 264);
    let half = first(&[256, 64, 112, 112], DType::F16);
    assert_eq!(
        plan(Pass::Forward, &half, DType::F16, &HOPPER)
            .unwrap()
            .group_channels,
        1
    );
    let smaller = first(&[256, 64, 64, 64], DType::F16);
    assert_eq!(
        plan(Pass::Forward, &smaller, DType::F16, &HOPPER)
            .unwrap()
            .group_channels,
        5
    );
}

#[test]
fn columns_fit_a_cluster_or_stay_as_far_as_they_fit() {
    let last = |dims: &[usize]| view(dims, Layout::ChannelsLast, DType::F16);
    let small = plan(Pass::Forward, &last(&[32, 7, 7, 512]), DType::F16, &HOPPER).unwrap();
    assert_eq!(
        small.launch.kernel.operation,
        Operation::ColumnsOnChipForward
    );
    assert_eq!(small.kept_rows, small.tile);
    let large = plan(
        Pass::Forward,
        &last(&[128, 112, 112, 64]),
        DType::F16,
        &HOPPER,
    )
    .unwrap();
    assert_eq!(
        large.launch.kernel.operation,
        Operation::ColumnsPersistentForward
    );
    assert!(large.launch.cooperative && large.launch.blocks <= 264);
    assert!(large.kept_rows > 0 && large.kept_rows < large.tile);
    let narrow = plan(Pass::Forward, &last(&[65536, 64]), DType::F16, &HOPPER).unwrap();
    assert_eq!(
        narrow.launch.kernel.operation,
        Operation::ColumnsPersistentForward
    );
    assert_eq!(
        narrow.kept_rows, narrow.tile,
        "8 MB fit the shared memory of 132 multiprocessors"
    );
}

#[test]
fn without_cooperative_launches_long_columns_are_split() {
    let device = Attributes {
        cooperative: false,
        ..TURING
    };
    let last = view(&[65536, 64], Layout::ChannelsLast, DType::F32);
    assert_eq!(
        operation(plan(Pass::Forward, &last, DType::F32, &device)),
        None
    );
}

#[test]
fn small_images_are_columns_of_whole_channels_and_whole_packets() {
    let seven = first(&[32, 2048, 7, 7], DType::F16);
    let cut = plan(Pass::Forward, &seven, DType::F16, &HOPPER).unwrap();
    // Eight channels of 49 values are 49 packets.
    assert_eq!(
        (cut.launch.kernel.operation, cut.group_channels),
        (Operation::ColumnsOnChipForward, 8)
    );
    assert_eq!(cut.launch.blocks / cut.launch.cluster, 256);
}

#[test]
fn f64_is_split() {
    assert_eq!(
        plan(
            Pass::Forward,
            &first(&[8, 64, 28, 28], DType::F64),
            DType::F64,
            &HOPPER
        ),
        None
    );
}

#[test]
fn a_person_who_tunes_is_obeyed_where_it_is_possible() {
    let shape = first(&[32, 512, 28, 28], DType::F32);
    let told = |text: &str| {
        operation(fused(
            Pass::Forward,
            &shape,
            DType::F32,
            &HOPPER,
            &Tuning::parse(text).unwrap(),
        ))
    };
    assert_eq!(told("way=split"), None);
    assert_eq!(told("way=ticketed"), Some(Operation::PlanesTicketedForward));
    assert_eq!(told("way=persistent"), None, "which planes do not have");
    let cluster = Tuning {
        way: Some(Way::OnChip),
        cluster: Some(4),
        ..Tuning::default()
    };
    assert_eq!(
        fused(Pass::Forward, &shape, DType::F32, &HOPPER, &cluster)
            .unwrap()
            .launch
            .cluster,
        4
    );
}

/// Everything a launch must be for the kernels to be right and the device to take it.
fn check(cut: &Cut, view: &View, device: &Attributes, waits: bool) {
    let (launch, blocks) = (&cut.launch, cut.launch.blocks as usize);
    let about = format!("{view:?} {cut:?}");
    assert!(
        launch.threads.is_multiple_of(32) && launch.threads <= 256 && blocks > 0,
        "{about}"
    );
    assert!(
        launch.shared_bytes <= device.shared_per_block - 1024,
        "{about}"
    );
    assert!(
        launch.cluster <= device.cluster_blocks && launch.blocks.is_multiple_of(launch.cluster),
        "{about}"
    );
    if launch.cooperative {
        assert!(
            blocks <= BLOCKS_PER_MULTIPROCESSOR * device.multiprocessors as usize,
            "{about}"
        );
        assert!(
            2 * (launch.shared_bytes + 1024) <= device.shared_per_multiprocessor,
            "{about}"
        );
    }
    let (len, units, group) = match view.family {
        Family::Planes => (view.channel_packets(), view.channels, 1),
        Family::Columns => (
            view.batch,
            view.channels.div_ceil(cut.group_channels),
            cut.group_channels,
        ),
    };
    assert!(cut.tile * cut.tiles >= len, "all of it: {about}");
    assert!(
        cut.tile * (cut.tiles - 1) < len || cut.launch.cluster > 1,
        "no tile without work: {about}"
    );
    if view.family == Family::Columns {
        assert!(
            (group * view.spatial).is_multiple_of(view.lanes()),
            "groups begin at packets: {about}"
        );
        assert!(
            group * view.spatial / view.lanes() <= 256,
            "a thread for each packet: {about}"
        );
    }
    let ticketed = matches!(
        launch.kernel.operation,
        Operation::PlanesTicketedForward | Operation::PlanesTicketedBackward
    );
    if !ticketed {
        assert_eq!(blocks, units * cut.tiles, "{about}");
    }
    if waits {
        assert!(
            view.channels * cut.tiles * 16 <= PARTIAL_BYTES || cut.tiles == 1,
            "{about}"
        );
        let counters = if ticketed { 2 + 2 * units } else { 3 * units };
        assert!(counters * 4 <= COUNTER_BYTES || cut.tiles == 1, "{about}");
    }
}

#[test]
fn every_plan_covers_the_array_and_fits_the_device() {
    let dims: &[&[usize]] = &[
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
    ];
    let without_cooperation = Attributes {
        cooperative: false,
        ..TURING
    };
    for dims in dims {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            for dtype in [DType::F16, DType::F32, DType::F64] {
                for device in [&HOPPER, &TURING, &without_cooperation] {
                    let view = view(dims, layout, dtype);
                    for step_of in [
                        Step::Statistics,
                        Step::Normalize,
                        Step::BackwardReduce,
                        Step::BackwardInput,
                    ] {
                        let reduces = matches!(step_of, Step::Statistics | Step::BackwardReduce);
                        check(&step(step_of, &view, dtype, device), &view, device, reduces);
                    }
                    for pass in [Pass::Forward, Pass::Backward] {
                        for text in ["", "way=on-chip", "way=ticketed", "way=persistent"] {
                            let tuning = Tuning::parse(text).unwrap();
                            if let Some(cut) = fused(pass, &view, dtype, device, &tuning) {
                                check(&cut, &view, device, cut.launch.cluster == 1);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn more_channels_than_counters_have_one_tile_each() {
    assert_eq!(most_tiles(1 << 20, 1), 1);
    assert!(most_tiles(1000, 1) > 100);
}
