//! What is chosen, and by what: strategies at the ends of their regimes, idle multiprocessors, equal bits.

use crate::element::DType;
use crate::gpu::attributes::Attributes;
use crate::gpu::kernel::Strategy;
use crate::gpu::plan::choice::choose;
use crate::gpu::plan::choice::{PRICE_OF_EQUAL_BITS, Reason};
use crate::gpu::plan::descriptor::TensorDescriptor;
use crate::gpu::plan::explanation::Explanation;
use crate::gpu::plan::launch_plan::{Direction, LaunchPlan, PassPlan};
use crate::gpu::plan::split::{Step, step};
use crate::gpu::plan::tests::{HOPPER, TURING, descriptor};
use crate::gpu::plan::tuning::Tuning;
use crate::shape::{Layout, Shape};

const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];

fn first(dims: &[usize], dtype: DType) -> TensorDescriptor {
    descriptor(dims, Layout::ChannelsFirst, dtype)
}

fn plan_of(
    direction: Direction,
    descriptor: &TensorDescriptor,
    dtype: DType,
    device: &Attributes,
) -> PassPlan {
    choose(direction, descriptor, dtype, device, &Tuning::default())
}

fn told(text: &str, descriptor: &TensorDescriptor, dtype: DType) -> PassPlan {
    let tuning = Tuning::parse(text).unwrap();
    choose(Direction::Forward, descriptor, dtype, &HOPPER, &tuning)
}

fn strategy(plan: &PassPlan) -> Strategy {
    let (PassPlan::Whole(launch) | PassPlan::Steps { reduce: launch, .. }) = plan;
    launch.launch.kernel.strategy
}

fn whole(plan: PassPlan) -> LaunchPlan {
    match plan {
        PassPlan::Whole(plan) => plan,
        PassPlan::Steps { .. } => panic!("{plan}"),
    }
}

#[test]
fn channels_that_fill_the_device_are_kept_on_the_chip() {
    // 98 KB a channel, 512 of them.
    let shape = first(&[32, 512, 28, 28], DType::F32);
    for direction in DIRECTIONS {
        let plan = plan_of(direction, &shape, DType::F32, &HOPPER);
        assert_eq!(strategy(&plan), Strategy::OnChip, "{plan}");
    }
}

#[test]
fn few_channels_are_spread_over_clusters() {
    let shape = first(&[32, 64, 28, 28], DType::F32);
    let plan = whole(plan_of(Direction::Forward, &shape, DType::F32, &HOPPER));
    assert!(
        plan.launch.cluster > 1 && plan.launch.blocks >= 132,
        "{plan}"
    );
}

#[test]
fn channels_that_fit_no_cluster_are_taken_in_items() {
    // 12.25 MB a channel.
    let shape = first(&[256, 64, 112, 112], DType::F32);
    for direction in DIRECTIONS {
        let plan = plan_of(direction, &shape, DType::F32, &HOPPER);
        let strategy = strategy(&plan);
        assert!(
            matches!(strategy, Strategy::Ticketed | Strategy::Pipelined),
            "{plan}"
        );
    }
}

#[test]
fn without_clusters_large_channels_are_ticketed() {
    let large = first(&[32, 256, 56, 56], DType::F32);
    let plan = plan_of(Direction::Forward, &large, DType::F32, &TURING);
    assert_eq!(strategy(&plan), Strategy::Ticketed, "{plan}");
}

#[test]
fn long_columns_are_persistent_where_blocks_can_run_at_once() {
    let last = descriptor(&[128, 112, 112, 64], Layout::ChannelsLast, DType::F16);
    let plan = whole(plan_of(Direction::Forward, &last, DType::F16, &HOPPER));
    assert!(
        plan.launch.cooperative && plan.launch.blocks <= 264,
        "{plan}"
    );
    assert!(plan.kept_rows > 0 && plan.kept_rows < plan.tile, "{plan}");
    let alone = Attributes {
        cooperative: false,
        ..HOPPER
    };
    let plan = plan_of(Direction::Forward, &last, DType::F16, &alone);
    assert_eq!(strategy(&plan), Strategy::Split, "{plan}");
}

#[test]
fn f64_is_in_steps() {
    let shape = first(&[8, 64, 28, 28], DType::F64);
    let plan = plan_of(Direction::Forward, &shape, DType::F64, &HOPPER);
    assert_eq!(strategy(&plan), Strategy::Split);
}

/// Those that were taken for fitting, and left half of the device idle.
#[test]
fn no_multiprocessor_is_idle() {
    for (dims, dtype) in [
        ([32, 14, 14, 1024], DType::F16),
        ([32, 14, 14, 256], DType::F32),
        ([128, 7, 7, 512], DType::F16),
        ([256, 7, 7, 512], DType::F16),
    ] {
        let last = descriptor(&dims, Layout::ChannelsLast, dtype);
        for direction in DIRECTIONS {
            let plan = plan_of(direction, &last, dtype, &HOPPER);
            assert!(
                matches!(plan, PassPlan::Steps { .. }) || whole(plan).launch.blocks >= 132,
                "{dims:?}: {plan}"
            );
        }
    }
}

#[test]
fn what_is_chosen_is_the_fastest_or_hardly_slower() {
    let (tuning, device) = (Tuning::default(), Attributes::H100);
    for dims in [[32, 64, 112, 112], [32, 512, 28, 28], [128, 1024, 14, 14]] {
        let shape = Shape::channels_first(&dims).unwrap();
        for direction in DIRECTIONS {
            let why = Explanation::of(&shape, DType::F16, direction, &device, &tuning);
            let fastest = why.considered[0].prediction.seconds;
            let chosen = why.chosen().prediction.seconds;
            assert!(chosen <= (1.0 + PRICE_OF_EQUAL_BITS) * fastest, "{why}");
            let busy = why.considered.iter().filter(|one| one.idle == 0);
            let seconds: Vec<f64> = busy.map(|one| one.prediction.seconds).collect();
            assert!(seconds.is_sorted(), "{why}");
        }
    }
}

/// An H100 and an H200 differ in memory and cache alone.
#[test]
fn devices_that_say_so_partition_alike() {
    let tuning = Tuning::default();
    for dims in [[32, 64, 112, 112], [32, 512, 28, 28], [256, 64, 56, 56]] {
        let shape = Shape::channels_first(&dims).unwrap();
        let explain =
            |device| Explanation::of(&shape, DType::F16, Direction::Forward, device, &tuning);
        let reference = explain(&Attributes::REFERENCE);
        let other = explain(&Attributes::H100);
        if matches!(other.reason, Reason::EqualBits { .. }) {
            let partitions = [&reference, &other].map(|why| why.chosen().plan.partition());
            assert_eq!(partitions[0], partitions[1], "{other}");
        }
    }
}

#[test]
fn steps_are_partitioned_alike_everywhere() {
    let shape = first(&[32, 64, 112, 112], DType::F32);
    let plans = [&HOPPER, &TURING, &Attributes::A100].map(|device| {
        let split = Tuning::parse("strategy=split").unwrap();
        choose(Direction::Forward, &shape, DType::F32, device, &split)
    });
    assert!(plans.iter().all(|plan| *plan == plans[0]), "{plans:?}");
}

#[test]
fn an_explanation_names_the_chosen_and_the_others() {
    let shape = Shape::channels_last(&[32, 14, 14, 1024]).unwrap();
    let (tuning, device) = (Tuning::default(), Attributes::H200);
    let why = Explanation::of(&shape, DType::F16, Direction::Forward, &device, &tuning);
    let text = why.to_string();
    assert_eq!(
        text.lines().filter(|line| line.starts_with('*')).count(),
        1,
        "{text}"
    );
    for expected in [
        "Forward of f16 (12.8 MB) on 132 multiprocessors of compute capability 9.0; predicted, not measured:",
        "columns_on_chip_forward_f16 with ",
        "columns_persistent_forward_f16 with ",
        "columns_statistics_f16 with ",
        "multiprocessors idle",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
}

#[test]
fn a_person_who_tunes_is_obeyed_where_it_is_possible() {
    let shape = first(&[32, 512, 28, 28], DType::F32);
    for (text, expected) in [
        ("way=split", Strategy::Split),
        ("way=ticketed", Strategy::Ticketed),
        ("way=pipelined", Strategy::Pipelined),
        // Which planes do not have.
        ("way=persistent", Strategy::Split),
    ] {
        assert_eq!(
            strategy(&told(text, &shape, DType::F32)),
            expected,
            "{text}"
        );
    }
    let plan = whole(told(
        "way=on-chip,cluster=4,threads=128",
        &shape,
        DType::F32,
    ));
    assert_eq!((plan.launch.cluster, plan.launch.threads), (4, 128));
    let plan = whole(told("way=ticketed,group=3", &shape, DType::F32));
    assert_eq!(plan.group_channels, 3);
}

#[test]
fn more_channels_than_counters_have_one_tile_each_in_separate_steps_and_no_tickets() {
    let many = first(&[2, 300_000, 200], DType::F32);
    assert_eq!(step(Step::Statistics, &many, DType::F32).tiles, 1);
    let plan = told("strategy=ticketed", &many, DType::F32);
    assert_eq!(strategy(&plan), Strategy::Split);
}

/// Groups as wide as they may be are few, so that their counters and they themselves fit where their channels' sums do
/// not.
#[test]
fn more_channels_than_places_for_their_sums_are_not_persistent() {
    let many = descriptor(&[64, 400_000], Layout::ChannelsLast, DType::F16);
    let plan = told("strategy=persistent,columns=256", &many, DType::F16);
    assert_eq!(strategy(&plan), Strategy::Split);
}

/// Eight channels of 49 values are 49 packets.
#[test]
fn small_images_are_columns_of_whole_channels_and_whole_packets() {
    let seven = first(&[32, 2048, 7, 7], DType::F16);
    let plan = told("way=on-chip", &seven, DType::F16);
    assert_eq!(whole(plan).group_channels % 8, 0, "{plan}");
}
