//! Passes without their input, which is given anew: the same bits, and what is refused.

use batchnorm::backend::Backend;
use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, Cpu, Device, Element, Error, Gradients,
    Renormalization, Shape, Tensor,
};
use half::bf16;

use crate::cpu;

fn wave<T: Element>(count: usize, a: f64, b: f64) -> Vec<T> {
    let wave = |i| (i as f64 * a + b).sin() * 1.3 + (i as f64 * 0.37 + b).cos();
    (0..count).map(|i| T::from_f64(wave(i))).collect()
}

/// Everything that a backward pass gives: dx, the residual's gradient, dγ and dβ.
type Values<T> = (
    Vec<T>,
    Option<Vec<T>>,
    Vec<<T as Element>::Compute>,
    Vec<<T as Element>::Compute>,
);

fn values<T: Element, B: Backend>(gradients: Gradients<T, B>) -> Values<T> {
    (
        gradients.input.to_vec().unwrap(),
        gradients.residual.map(|of| of.to_vec().unwrap()),
        gradients.gamma.unwrap().to_vec().unwrap(),
        gradients.beta.unwrap().to_vec().unwrap(),
    )
}

fn check<T: Element, B: Backend>(backend: &B, config: BatchNormConfig, shape: Shape, add: bool) {
    let tensor = |a, b| Tensor::new(backend, shape, &wave::<T>(shape.len(), a, b)).unwrap();
    let (x, residual, dy) = (tensor(1.7, 0.2), tensor(2.9, 1.1), tensor(0.9, 2.3));
    let layer = BatchNorm::<B, T::Compute>::with_compute(backend, config).unwrap();
    let forward = |x| {
        let mut y = Tensor::zeros(backend, shape).unwrap();
        let residual: Option<&dyn batchnorm::Data<B, Element = T>> =
            if add { Some(&residual) } else { None };
        layer
            .forward_training_deferred_into(x, residual, &mut y)
            .unwrap()
    };
    let expected = values(forward(&x).backward(&dy).unwrap());
    let pass = forward(&x).without_input();
    for _ in 0..2 {
        assert_eq!(values(pass.backward(&x, &dy).unwrap()), expected);
    }
    let (mut dx, mut over_dy) = (tensor(0.1, 0.1), dy.clone());
    let mut dresidual = add.then(|| tensor(0.1, 0.2));
    let asked_for = dresidual.as_mut();
    let asked_for = asked_for.map(|of| of as &mut dyn batchnorm::DataMut<B, Element = T>);
    let parameters = pass.backward_into(&x, &dy, &mut dx, asked_for).unwrap();
    assert_eq!(dx.to_vec().unwrap(), expected.0);
    assert_eq!(dresidual.map(|of| of.to_vec().unwrap()), expected.1);
    assert_eq!(parameters.gamma.unwrap().to_vec().unwrap(), expected.2);
    pass.backward_in_place(&x, &mut over_dy, None).unwrap();
    assert_eq!(over_dy.to_vec().unwrap(), expected.0);
}

#[test]
fn gradients_have_the_bits_of_the_pass_that_kept_x() {
    fn check_each<T: Element, B: Backend>(backend: &B) {
        let renormalized = Renormalization::new(1.2, 0.3);
        for shape in [
            Shape::channels_first(&[6, 3, 5, 4]).unwrap(),
            Shape::channels_last(&[6, 5, 4, 3]).unwrap(),
        ] {
            for (activation, add) in [
                (Activation::None, false),
                (Activation::Relu, false),
                (Activation::Relu, true),
                (Activation::Silu, true),
            ] {
                let config = BatchNormConfig::new(3).activation(activation);
                check::<T, B>(backend, config, shape, add);
                check::<T, B>(backend, config.ghost_batch(4), shape, add);
                check::<T, B>(backend, config.renormalization(renormalized), shape, add);
            }
        }
    }
    check_each::<f32, _>(&cpu());
    check_each::<bf16, _>(&cpu());
    check_each::<f64, _>(&cpu());
    check_each::<f32, _>(&Device::cpu());
}

#[test]
fn a_frozen_pass_can_be_without_its_input_too() {
    let layer = BatchNorm::new(&cpu(), BatchNormConfig::new(3)).unwrap();
    let shape = Shape::channels_first(&[6, 3]).unwrap();
    let x = Tensor::new(&cpu(), shape, &wave::<f32>(18, 1.7, 0.2)).unwrap();
    let expected = layer.forward_frozen(&x).unwrap().1.backward(&x).unwrap();
    let pass = layer.forward_frozen(&x).unwrap().1.without_input();
    assert_eq!(values(pass.backward(&x, &x).unwrap()), values(expected));
}

#[test]
fn an_x_of_another_shape_is_refused_and_nothing_is_written() {
    let layer = BatchNorm::new(&cpu(), BatchNormConfig::new(3)).unwrap();
    let tensor = |dims: &[usize], value: f32| {
        let shape = Shape::channels_first(dims).unwrap();
        Tensor::new(&cpu(), shape, &vec![value; shape.len()]).unwrap()
    };
    let x = Tensor::new(
        &cpu(),
        Shape::channels_first(&[4, 3]).unwrap(),
        &wave::<f32>(12, 1.7, 0.2),
    )
    .unwrap();
    let pass = layer
        .forward_training_deferred(&x)
        .unwrap()
        .1
        .without_input();
    let mut dx = tensor(&[4, 3], -77.0);
    for other in [&[3usize, 3][..], &[2, 3, 2], &[4, 4]] {
        let refused = pass.backward_into(&tensor(other, 1.0), &x, &mut dx, None);
        assert!(
            matches!(refused, Err(Error::ShapeMismatch { what: "x", .. })),
            "{refused:?}"
        );
        assert_eq!(dx.to_vec().unwrap(), [-77.0; 12]);
    }
    assert_eq!(
        format!("{pass:?}"),
        "CheckpointedPass(f32 [4, 3] channels first, 1 group)"
    );
}

/// x is computed again by the layer before, deferred: each layer has followed each batch once.
#[test]
fn no_batch_counts_twice() {
    let shape = Shape::channels_first(&[6, 3, 4]).unwrap();
    let x = Tensor::new(&cpu(), shape, &wave::<f32>(shape.len(), 1.7, 0.2)).unwrap();
    let relu = BatchNormConfig::new(3).activation(Activation::Relu);
    let new = || -> [BatchNorm<Cpu>; 2] { [(); 2].map(|()| BatchNorm::new(&cpu(), relu).unwrap()) };
    let [mut first, mut second] = new();
    let (between, kept_first) = first.forward_training(&x).unwrap();
    let (y, kept_second) = second.forward_training(&between).unwrap();
    let through_second = kept_second.backward(&y).unwrap();
    let expected = values(kept_first.backward(&through_second.input).unwrap());

    let [mut checkpointed_first, mut checkpointed_second] = new();
    let (between, _) = checkpointed_first.forward_training(&x).unwrap();
    let (again, pass) = checkpointed_second.forward_training(between).unwrap();
    assert_eq!(again.to_vec().unwrap(), y.to_vec().unwrap());
    let pass = pass.without_input();
    let (between, of_first) = checkpointed_first.forward_training_deferred(&x).unwrap();
    let through_second = pass.backward(&between, &again).unwrap();
    let of_first = of_first.backward(&through_second.input).unwrap();
    assert_eq!(values(of_first), expected);
    for (found, expected) in [
        (&checkpointed_first, &first),
        (&checkpointed_second, &second),
    ] {
        let of = contract_suite::layers::running;
        assert_eq!(of(found), of(expected));
    }
}
