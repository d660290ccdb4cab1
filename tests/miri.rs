//! Every way through memory at the portable level, on arrays so small that Miri can follow: it runs these tests (`.ci/miri`).

use batchnorm::backend::GradientsOfGradients;
use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, Cpu, DType, Data, Element, Level, Shape, Tensor,
};
use contract_suite::comparison::check_backward;
use contract_suite::data::{add_residual, add_running, ordinary};
use contract_suite::double_backward::check_double_backward;
use contract_suite::run::{How, backward, forward};
use half::{bf16, f16};

fn portable(threads: usize) -> Cpu {
    let cpu = Cpu::with_threads(threads).unwrap();
    cpu.at_level(Level::Portable).unwrap()
}

/// Nearly nothing, narrow planes along rows, planes of more than a vector, columns, rows of columns that are joined.
fn shapes() -> Vec<Shape> {
    vec![
        Shape::channels_first(&[2, 1]).unwrap(),
        Shape::channels_first(&[3, 2, 2]).unwrap(),
        Shape::channels_first(&[2, 2, 19]).unwrap(),
        Shape::channels_last(&[3, 17]).unwrap(),
        Shape::channels_last(&[2, 3, 2]).unwrap(),
    ]
}

fn passes<T: Element>(activation: Activation) {
    for shape in shapes() {
        let mut problem = ordinary::<T>(shape, 1);
        problem.activation = activation;
        check_backward::<T, Cpu>(&portable(1), &problem, How::Fused);
        add_residual::<T>(&mut problem, 2);
        check_backward::<T, Cpu>(&portable(1), &problem, How::Composed);
        let answer = forward::<T, Cpu>(&portable(1), &problem, How::Fused);
        let apart = backward::<T, Cpu>(&portable(1), &problem, &answer, How::Fused, false);
        let in_place = backward::<T, Cpu>(&portable(1), &problem, &answer, How::Fused, true);
        assert_eq!(apart, in_place);
        add_running::<T>(&mut problem, 3);
        check_backward::<T, Cpu>(&portable(1), &problem, How::Fused);
        if activation.has_second_derivatives() {
            check_double_backward::<T, Cpu>(&portable(1), &problem, 4);
            problem.running = None;
            check_double_backward::<T, Cpu>(&portable(1), &problem, 4);
        }
    }
}

#[test]
fn passes_in_f32() {
    passes::<f32>(Activation::Relu);
}

#[test]
fn passes_in_f64() {
    passes::<f64>(Activation::Silu);
}

#[test]
fn passes_in_halves() {
    passes::<f16>(Activation::LeakyRelu { slope: 0.25 });
    passes::<bf16>(Activation::None);
}

#[test]
fn two_threads_share_an_array() {
    // Several tiles of whole channels, and of parts of channels.
    for shape in [
        Shape::channels_first(&[3, 17, 333]).unwrap(),
        Shape::channels_last(&[2570, 7]).unwrap(),
    ] {
        let values: Vec<f64> = (0..shape.len()).map(|i| (i % 101) as f64).collect();
        let all = |threads| {
            let cpu = portable(threads);
            let x = Tensor::new(&cpu, shape, &values).unwrap();
            let mut layer: BatchNorm<Cpu, f64> =
                BatchNorm::with_compute(&cpu, BatchNormConfig::new(shape.channels())).unwrap();
            let (y, pass) = layer.forward_training(&x).unwrap();
            let gradients = pass.backward(&y).unwrap();
            let of = GradientsOfGradients {
                input: Some(&gradients.input as &dyn Data<Cpu, Element = f64>),
                ..GradientsOfGradients::default()
            };
            let second = pass.double_backward(&y, of).unwrap();
            [y, gradients.input, second.dy, second.input].map(|array| array.to_vec().unwrap())
        };
        assert_eq!(all(2), all(1));
    }
}

#[test]
fn checkpoints() {
    let cpu = portable(1);
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu, BatchNormConfig::new(3)).unwrap();
    layer.gamma_mut().unwrap().set(&[1.5, -0.25, 3.0]).unwrap();
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        let bytes = layer.to_bytes("a.b", dtype).unwrap();
        let mut again: BatchNorm<Cpu> = BatchNorm::new(&cpu, BatchNormConfig::new(3)).unwrap();
        again.load_bytes(&bytes, "a.b").unwrap();
        assert_eq!(again.to_bytes("a.b", dtype).unwrap(), bytes);
        let end = bytes.len() - 1;
        assert!(again.load_bytes(&bytes[..end], "a.b").is_err());
    }
}
