//! Tiles that are on their way while others are worked on: the sums, and so all bits, of the ticketed kernels, which read the same
//! tiles as they use them.

use batchnorm::backend::Activation;
use batchnorm::gpu::plan::Tuning;
use batchnorm::{Element, Shape};
use batchnorm_simt::{Simt, SimtDevice, SimtDriver};
use contract_suite::data::{add_residual, ordinary, wide};
use contract_suite::reference::Problem;
use contract_suite::run::{How, backward, forward};
use half::{bf16, f16};

/// Planes of whole packets, and planes that begin and end within one; several tiles of several packets to each thread.
fn shapes() -> [Shape; 2] {
    [
        Shape::channels_first(&[3, 5, 64, 61]).unwrap(),
        Shape::channels_first(&[5, 3, 2503]).unwrap(),
    ]
}

/// All that a pass there and back gives, told the strategy with what belongs to it and how long a tile is; dx over dy, if asked for.
fn bits<T: Element>(told: &str, tile: usize, problem: &Problem, in_place: bool) -> Vec<u64> {
    let strategy = told.split(',').next().unwrap_or(told);
    let driver = SimtDriver::new(SimtDevice::hopper()).expect("memory");
    let tuning = format!("strategy={told},group=2,tile={tile}");
    let simt = Simt::on(driver.clone()).tuned(Tuning::parse(&tuning).expect("a tuning"));
    let answer = forward::<T, _>(&simt, problem, How::Fused);
    let gradients = backward::<T, _>(&simt, problem, &answer, How::Fused, in_place);
    for pass in ["forward", "backward"] {
        let kernel = format!("planes_{strategy}_{pass}_{}", T::DTYPE);
        let launches = driver.launches();
        assert_eq!(launches.get(kernel.as_str()), Some(&1), "{launches:?}");
    }
    let arrays = [
        wide(&answer.y),
        wide(&gradients.dx),
        wide(&gradients.dresidual.unwrap_or_default()),
        wide(&gradients.dgamma),
        wide(&gradients.dbeta),
    ];
    arrays.concat().into_iter().map(f64::to_bits).collect()
}

fn check<T: Element>() {
    for shape in shapes() {
        let plain = ordinary::<T>(shape, 11);
        let mut with_residual = ordinary::<T>(shape, 12);
        add_residual::<T>(&mut with_residual, 13);
        with_residual.activation = Activation::Silu;
        let mut with_mask = with_residual.clone();
        with_mask.activation = Activation::Relu;
        for (problem, in_place) in [(plain, false), (with_residual, true), (with_mask, false)] {
            // A packet to a thread, two or three, and four.
            for tile in [256, 700, 1024] {
                let expected = bits::<T>("ticketed", tile, &problem, in_place);
                for told in ["pipelined,places=2", "pipelined,places=3"] {
                    assert!(
                        bits::<T>(told, tile, &problem, in_place) == expected,
                        "{told}: {shape} with {:?}, tiles of {tile}",
                        problem.activation
                    );
                }
            }
        }
    }
}

#[test]
fn has_the_bits_of_the_ticketed_kernels_in_f32() {
    check::<f32>();
}

#[test]
fn has_the_bits_of_the_ticketed_kernels_in_halves() {
    check::<f16>();
    check::<bf16>();
}
