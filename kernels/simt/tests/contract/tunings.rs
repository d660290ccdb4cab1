//! What a person who tunes may say, at its extremes and where nothing divides: against the textbook.

use batchnorm::gpu::Strategy;
use batchnorm::gpu::plan::Tuning;
use batchnorm::{Element, Shape};
use batchnorm_simt::{Simt, SimtDevice, SimtDriver};
use contract_suite::comparison::{check_backward, check_backward_within};
use contract_suite::data::ordinary;
use contract_suite::run::How;
use contract_suite::tolerance::Additions;
use half::f16;

/// Rows of columns: channels last with a last group narrower than the others, small planes of odd length, and fewer
/// channels than a packet has lanes.
fn columns() -> [Shape; 3] {
    [
        Shape::channels_last(&[70, 2101]).unwrap(),
        Shape::channels_first(&[37, 45, 7, 7]).unwrap(),
        Shape::channels_first(&[61, 3, 31]).unwrap(),
    ]
}

/// Planes, of which none ends where a packet does.
fn planes() -> [Shape; 2] {
    [
        Shape::channels_first(&[4, 5, 1501]).unwrap(),
        Shape::channels_first(&[3, 7, 17, 31]).unwrap(),
    ]
}

/// A pass there and back as told, which must have been by the kernels that were asked for.
fn check<T: Element>(tuning: &Tuning, shapes: &[Shape], kernel: &str) {
    check_within::<T>(tuning, shapes, kernel, Additions::of::<T, Simt>);
}

fn check_within<T: Element>(
    tuning: &Tuning,
    shapes: &[Shape],
    kernel: &str,
    additions: impl Fn(&Simt, &Shape) -> Additions,
) {
    let driver = SimtDriver::new(SimtDevice::hopper()).expect("memory");
    let simt = Simt::on(driver.clone()).tuned(tuning.clone());
    for &shape in shapes {
        let additions = additions(&simt, &shape);
        check_backward_within::<T, Simt>(&simt, &ordinary::<T>(shape, 7), How::Fused, additions);
    }
    let launched = |pass: &str| {
        let name = format!("{kernel}_{pass}_{}", T::DTYPE);
        driver.launches().get(name.as_str()).copied()
    };
    let each = Some(shapes.len() as u64);
    assert_eq!(
        (launched("forward"), launched("backward")),
        (each, each),
        "{tuning:?}: {:?}",
        driver.launches()
    );
}

/// Each at its own width in packets, which no plan would choose: fewer threads share the rows of a group then.
fn check_columns(strategy: &str, kernel: &str, widths: &[usize]) {
    for &packets in widths {
        check_columns_of::<f32>(strategy, kernel, packets);
        check_columns_of::<f16>(strategy, kernel, packets);
    }
}

fn check_columns_of<T: Element>(strategy: &str, kernel: &str, packets: usize) {
    let text = format!("strategy={strategy},columns={packets}");
    let tuning = Tuning::parse(&text).expect("a tuning");
    check_within::<T>(&tuning, &columns(), kernel, |_, shape| {
        Additions::in_groups_of(packets, shape, size_of::<T>())
    });
}

#[test]
fn columns_of_every_width_on_chip() {
    check_columns("on-chip", "columns_on_chip", &[1, 3, 127, 129, 255, 256]);
}

#[test]
fn columns_of_every_width_persistent() {
    let (strategy, kernel) = ("persistent", "columns_persistent");
    check_columns(strategy, kernel, &[64, 127, 129, 238]);
    for packets in [255, 256] {
        check_columns_of::<f32>(strategy, kernel, packets);
    }
}

/// Rows that do not end with a packet, of which two, four or eight do: joined rows of one packet, of several that do not divide a block's
/// threads, and of as many as there may be.
fn joined() -> [Shape; 5] {
    [
        Shape::channels_last(&[9, 40, 2]).unwrap(),
        Shape::channels_last(&[8, 50, 3]).unwrap(),
        Shape::channels_first(&[208, 42]).unwrap(),
        Shape::channels_last(&[3, 7, 16, 12]).unwrap(),
        Shape::channels_last(&[1024, 63]).unwrap(),
    ]
}

#[test]
fn joined_rows_in_every_way() {
    for (strategy, kernel) in [
        (Strategy::OnChip, "columns_on_chip"),
        (Strategy::Persistent, "columns_persistent"),
    ] {
        let tuning = Tuning::default().strategy(strategy);
        check::<f16>(&tuning, &joined(), kernel);
        check::<f32>(&tuning, &joined()[..4], kernel);
    }
    let steps = Simt::on(SimtDriver::new(SimtDevice::hopper()).expect("memory"));
    for shape in joined() {
        for how in [How::Fused, How::Composed] {
            check_backward::<f64, Simt>(&steps, &ordinary::<f64>(shape, 7), how);
        }
    }
}

/// The numbers of so many channels of halves leave two blocks of a multiprocessor no room: the plan takes steps instead.
#[test]
fn columns_too_wide_to_be_persistent_are_in_steps() {
    for packets in [239, 255, 256] {
        let text = format!("strategy=persistent,columns={packets}");
        let tuning = Tuning::parse(&text).expect("a tuning");
        let driver = SimtDriver::new(SimtDevice::hopper()).expect("memory");
        let simt = Simt::on(driver.clone()).tuned(tuning);
        let shape = Shape::channels_last(&[70, 2101]).unwrap();
        check_backward::<f16, Simt>(&simt, &ordinary::<f16>(shape, 7), How::Fused);
        let launched: Vec<_> = driver.launches().into_keys().collect();
        let steps = [
            "columns_backward_input_f16",
            "columns_backward_reduce_f16",
            "columns_normalize_f16",
            "columns_statistics_f16",
        ];
        assert_eq!(launched, steps, "{packets}");
    }
}

#[test]
fn clusters_of_every_size() {
    for blocks in [1, 2, 4, 8, 16] {
        let tuning = Tuning::default().strategy(Strategy::OnChip);
        let tuning = tuning.cluster(blocks).expect("a cluster");
        check::<f32>(&tuning, &planes(), "planes_on_chip");
        let narrow = tuning.columns(1).expect("a width");
        check::<f16>(&narrow, &columns(), "columns_on_chip");
    }
}

#[test]
fn tickets_for_any_number_of_channels() {
    for (strategy, kernel) in [
        (Strategy::Ticketed, "planes_ticketed"),
        (Strategy::Pipelined, "planes_pipelined"),
    ] {
        for channels in [1, 3, 6, 131_064] {
            let tuning = Tuning::default().strategy(strategy);
            let tuning = tuning.group(channels).expect("a group");
            check::<f32>(&tuning, &planes(), kernel);
        }
    }
}
