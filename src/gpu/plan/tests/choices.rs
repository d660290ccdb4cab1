//! Which strategy is chosen at the boundaries of its regime, and for how many blocks.

use crate::element::DType;
use crate::gpu::driver::Attributes;
use crate::gpu::kernel::Strategy;
use crate::gpu::plan::split::{Step, step};
use crate::gpu::plan::tests::{HOPPER, TURING, view};
use crate::gpu::plan::tuning::Tuning;
use crate::gpu::plan::view::View;
use crate::gpu::plan::{LaunchPlan, Pass, fused};
use crate::shape::Layout;

fn first(dims: &[usize], dtype: DType) -> View {
    view(dims, Layout::ChannelsFirst, dtype)
}

fn plan_of(pass: Pass, view: &View, dtype: DType, device: &Attributes) -> Option<LaunchPlan> {
    fused(pass, view, dtype, device, &Tuning::default())
}

/// The strategy of a plan.
fn strategy(plan: Option<LaunchPlan>) -> Option<Strategy> {
    plan.map(|plan| plan.launch.kernel.strategy)
}

#[test]
fn a_channel_that_fits_a_block_is_one_block() {
    // 32·28·28 values of 4 bytes: 98 KB, and 512 channels fill the device.
    let plan = plan_of(
        Pass::Forward,
        &first(&[32, 512, 28, 28], DType::F32),
        DType::F32,
        &HOPPER,
    )
    .unwrap();
    assert_eq!(plan.launch.kernel.strategy, Strategy::OnChip);
    assert_eq!(
        (
            plan.launch.cluster,
            plan.launch.blocks,
            plan.launch.shared_bytes
        ),
        (1, 512, 98 << 10)
    );
}

#[test]
fn few_channels_are_spread_over_clusters() {
    // The same channel, but 64 of them: four blocks each, parts of 24.5 KB, to give 132 multiprocessors work.
    let plan = plan_of(
        Pass::Forward,
        &first(&[32, 64, 28, 28], DType::F32),
        DType::F32,
        &HOPPER,
    )
    .unwrap();
    assert_eq!((plan.launch.cluster, plan.launch.blocks), (8, 512));
    // Parts of less than 8 KB are not worth it: 8·28·28 values are 24.5 KB, halves 12 KB, quarters 6 KB.
    let plan = plan_of(
        Pass::Forward,
        &first(&[8, 64, 28, 28], DType::F32),
        DType::F32,
        &HOPPER,
    )
    .unwrap();
    assert_eq!((plan.launch.cluster, plan.launch.blocks), (2, 128));
}

#[test]
fn a_cluster_grows_with_the_channel_until_it_cannot() {
    let size = |batch: usize| {
        plan_of(
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
    let plan = size(144).unwrap();
    assert_eq!(
        (plan.launch.cluster, plan.launch.kernel.strategy),
        (8, Strategy::OnChip)
    );
    assert!(plan.launch.shared_bytes > 114 << 10);
    // 148 planes are 1813 KB: no cluster of 8 has that.
    assert_eq!(strategy(size(148)), Some(Strategy::Ticketed));
}

#[test]
fn backward_keeps_two_arrays() {
    let shape = first(&[16, 512, 56, 56], DType::F32);
    assert_eq!(
        plan_of(Pass::Forward, &shape, DType::F32, &HOPPER)
            .unwrap()
            .launch
            .cluster,
        2
    );
    let backward = plan_of(Pass::Backward, &shape, DType::F32, &HOPPER).unwrap();
    assert_eq!(
        (backward.launch.cluster, backward.launch.kernel.strategy),
        (4, Strategy::OnChip)
    );
}

#[test]
fn without_clusters_large_channels_are_ticketed_and_small_arrays_split() {
    let large = first(&[32, 256, 56, 56], DType::F32);
    assert_eq!(
        strategy(plan_of(Pass::Forward, &large, DType::F32, &TURING)),
        Some(Strategy::Ticketed)
    );
    // Channels of 98 KB, but 0.8 MB in all, of 4 MB of cache: the second pass finds it there.
    let small = first(&[8, 8, 56, 56], DType::F32);
    assert_eq!(
        strategy(plan_of(Pass::Forward, &small, DType::F32, &TURING)),
        None
    );
    // What fits a block is on chip all the same.
    let on_chip = first(&[2, 32, 56, 56], DType::F32);
    assert_eq!(
        strategy(plan_of(Pass::Forward, &on_chip, DType::F32, &TURING)),
        Some(Strategy::OnChip)
    );
}

#[test]
fn groups_of_tickets_leave_room_in_the_cache() {
    // 12.25 MB a channel of 60 MB: a sixth is less than one channel, so one.
    let huge = first(&[256, 64, 112, 112], DType::F32);
    let plan = plan_of(Pass::Forward, &huge, DType::F32, &HOPPER).unwrap();
    assert_eq!(
        (plan.launch.kernel.strategy, plan.group_channels),
        (Strategy::Ticketed, 1)
    );
    assert_eq!(plan.launch.blocks, 264);
    let half = first(&[256, 64, 112, 112], DType::F16);
    assert_eq!(
        plan_of(Pass::Forward, &half, DType::F16, &HOPPER)
            .unwrap()
            .group_channels,
        1
    );
    let smaller = first(&[256, 64, 64, 64], DType::F16);
    assert_eq!(
        plan_of(Pass::Forward, &smaller, DType::F16, &HOPPER)
            .unwrap()
            .group_channels,
        5
    );
}

#[test]
fn columns_fit_a_cluster_or_stay_as_far_as_they_fit() {
    let last = |dims: &[usize]| view(dims, Layout::ChannelsLast, DType::F16);
    let small = plan_of(Pass::Forward, &last(&[32, 7, 7, 512]), DType::F16, &HOPPER).unwrap();
    assert_eq!(small.launch.kernel.strategy, Strategy::OnChip);
    assert_eq!(small.kept_rows, small.tile);
    let large = plan_of(
        Pass::Forward,
        &last(&[128, 112, 112, 64]),
        DType::F16,
        &HOPPER,
    )
    .unwrap();
    assert_eq!(large.launch.kernel.strategy, Strategy::Persistent);
    assert!(large.launch.cooperative && large.launch.blocks <= 264);
    assert!(large.kept_rows > 0 && large.kept_rows < large.tile);
    let narrow = plan_of(Pass::Forward, &last(&[65536, 64]), DType::F16, &HOPPER).unwrap();
    assert_eq!(narrow.launch.kernel.strategy, Strategy::Persistent);
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
        strategy(plan_of(Pass::Forward, &last, DType::F32, &device)),
        None
    );
}

#[test]
fn small_images_are_columns_of_whole_channels_and_whole_packets() {
    let seven = first(&[32, 2048, 7, 7], DType::F16);
    let plan = plan_of(Pass::Forward, &seven, DType::F16, &HOPPER).unwrap();
    // Eight channels of 49 values are 49 packets.
    assert_eq!(
        (plan.launch.kernel.strategy, plan.group_channels),
        (Strategy::OnChip, 8)
    );
    assert_eq!(plan.launch.blocks / plan.launch.cluster, 256);
}

#[test]
fn f64_is_split() {
    assert_eq!(
        plan_of(
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
        strategy(fused(
            Pass::Forward,
            &shape,
            DType::F32,
            &HOPPER,
            &Tuning::parse(text).unwrap(),
        ))
    };
    assert_eq!(told("way=split"), None);
    assert_eq!(told("way=ticketed"), Some(Strategy::Ticketed));
    assert_eq!(told("way=persistent"), None, "which planes do not have");
    let cluster = Tuning::default()
        .strategy(Strategy::OnChip)
        .cluster(4)
        .unwrap();
    assert_eq!(
        fused(Pass::Forward, &shape, DType::F32, &HOPPER, &cluster)
            .unwrap()
            .launch
            .cluster,
        4
    );
}

#[test]
fn more_channels_than_counters_have_one_tile_each_in_separate_steps_and_no_fused_pass() {
    let many = first(&[2, 300_000, 200], DType::F32);
    assert_eq!(step(Step::Statistics, &many, DType::F32, &HOPPER).tiles, 1);
    let ticketed = Tuning::parse("strategy=ticketed").unwrap();
    for pass in [Pass::Forward, Pass::Backward] {
        assert_eq!(fused(pass, &many, DType::F32, &HOPPER, &ticketed), None);
    }
}

/// Groups as wide as they may be are few, so that their counters and they themselves fit where their channels' sums do
/// not.
#[test]
fn more_channels_than_places_for_their_sums_are_not_persistent() {
    let many = view(&[64, 400_000], Layout::ChannelsLast, DType::F16);
    let wide = Tuning::parse("strategy=persistent,columns=256").unwrap();
    assert_eq!(
        fused(Pass::Forward, &many, DType::F16, &HOPPER, &wide),
        None
    );
}
