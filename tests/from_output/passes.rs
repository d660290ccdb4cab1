//! The pass that keeps y beside the one that keeps x.

use batchnorm::{
    Activation, BatchNormConfig, Cpu, Data, DataMut, Element, Gradients, Renormalization, Shape,
    Tensor,
};
use half::{bf16, f16};

use crate::{ELU, LEAKY, layer, tensor, wave};

type Array<T> = Tensor<T, Cpu>;

/// Shapes whose planes, rows and tails are of every kind, and one whose passes are cut.
fn shapes() -> Vec<Shape> {
    let first = |dims: &[usize]| Shape::channels_first(dims).unwrap();
    let last = |dims: &[usize]| Shape::channels_last(dims).unwrap();
    vec![
        first(&[2, 3]),
        first(&[40, 19]),
        first(&[3, 2, 5]),
        first(&[4, 5, 7, 9]),
        first(&[2, 37, 16, 16]),
        last(&[3, 4, 5, 3]),
        last(&[2, 9, 9, 33]),
    ]
}

#[derive(Debug, Clone, Copy)]
struct Case {
    shape: Shape,
    residual: bool,
    frozen: bool,
    config: BatchNormConfig,
}

fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for shape in shapes() {
        for activation in [Activation::None, LEAKY, ELU] {
            for i in 0..8 {
                let mut config = BatchNormConfig::new(shape.channels()).activation(activation);
                let (frozen, residual) = (i % 4 == 1, i % 2 == 1 || i == 6);
                if i >= 4 && shape.batch() >= 2 && shape.spatial() > 1 {
                    config = config.ghost_batch(1);
                }
                if i % 4 == 2 {
                    config = config.renormalization(Renormalization::new(1.5, 0.3));
                }
                cases.push(Case {
                    shape,
                    residual,
                    frozen,
                    config,
                });
            }
        }
    }
    cases
}

/// x, the residual and dy.
fn arrays<T: Element>(cpu: &Cpu, case: &Case) -> (Array<T>, Option<Array<T>>, Array<T>) {
    let (shape, len) = (case.shape, case.shape.len());
    let residual = || tensor(cpu, shape, &wave(len, 2.9, 1.1));
    (
        tensor(cpu, shape, &wave(len, 1.7, 0.2)),
        case.residual.then(residual),
        tensor(cpu, shape, &wave(len, 0.9, 2.3)),
    )
}

fn lent<T: Element>(residual: Option<&Array<T>>) -> Option<&dyn Data<Cpu, Element = T>> {
    residual.map(|residual| residual as &dyn Data<Cpu, Element = T>)
}

/// Everything that a pass gives, as one list: y, dx, the residual's gradient, dγ, dβ and the running statistics.
fn all<T: Element>(
    y: &Array<T>,
    gradients: Gradients<T, Cpu>,
    running: [Vec<T::Compute>; 2],
) -> Vec<Vec<f64>> {
    let values = |array: &[T]| array.iter().map(|value| value.to_f64()).collect();
    let channels = |array: Vec<T::Compute>| array.iter().map(|value| value.to_f64()).collect();
    let mut all = vec![values(y.slice()), values(gradients.input.slice())];
    all.extend(gradients.residual.iter().map(|array| values(array.slice())));
    all.push(channels(gradients.gamma.unwrap().to_vec().unwrap()));
    all.push(channels(gradients.beta.unwrap().to_vec().unwrap()));
    all.extend(running.map(channels));
    all
}

fn from_x<T: Element>(cpu: &Cpu, case: &Case) -> Vec<Vec<f64>> {
    let mut layer = layer::<T>(cpu, case.config);
    let (x, residual, dy) = arrays::<T>(cpu, case);
    let mut y = x.clone();
    let residual = lent(residual.as_ref());
    let pass = if case.frozen {
        layer.forward_frozen_into(x, residual, &mut y).unwrap()
    } else {
        layer.forward_training_into(x, residual, &mut y).unwrap()
    };
    let gradients = pass.backward(&dy).unwrap();
    let running = layer.running().unwrap();
    let running = [running.mean(), running.variance()].map(|array| array.to_vec().unwrap());
    all(&y, gradients, running)
}

fn from_y<T: Element>(cpu: &Cpu, case: &Case, in_place: bool) -> Vec<Vec<f64>> {
    let mut layer = layer::<T>(cpu, case.config);
    let (x, residual, dy) = arrays::<T>(cpu, case);
    let of_forward = lent(residual.as_ref());
    let y = x.clone();
    let pass = match (case.frozen, in_place) {
        (true, true) => layer.forward_frozen_in_place(x, of_forward),
        (true, false) => layer.forward_frozen_keeping_output(&x, of_forward, y),
        (false, true) => layer.forward_training_in_place(x, of_forward),
        (false, false) => layer.forward_training_keeping_output(&x, of_forward, y),
    };
    let pass = pass.unwrap();
    let gradients = match &residual {
        Some(residual) => pass.backward_add(residual, &dy).unwrap(),
        None => pass.backward(&dy).unwrap(),
    };
    let running = layer.running().unwrap();
    let running = [running.mean(), running.variance()].map(|array| array.to_vec().unwrap());
    all(pass.output(), gradients, running)
}

/// Off by so much of what is largest in each array, or of 1.
fn close(case: &Case, found: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (array, (found, expected)) in found.iter().zip(expected).enumerate() {
        let largest = expected
            .iter()
            .fold(1.0f64, |most, value| most.max(value.abs()));
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let off = (found - expected).abs();
            assert!(
                off <= tolerance * largest,
                "{case:?}: [{array}][{i}] is {found}, from x {expected}"
            );
        }
    }
}

#[test]
fn gradients_are_those_of_the_pass_that_keeps_x() {
    let cpu = Cpu::with_threads(2).unwrap();
    for case in cases() {
        for in_place in [false, true] {
            let found = from_y::<f64>(&cpu, &case, in_place);
            close(&case, &found, &from_x::<f64>(&cpu, &case), 1e-12);
            let found = from_y::<f32>(&cpu, &case, in_place);
            close(&case, &found, &from_x::<f32>(&cpu, &case), 2e-5);
        }
    }
}

/// y, and what the running statistics become, do not depend on what is kept.
#[test]
fn only_what_goes_backward_differs_where_y_has_memory_of_its_own() {
    fn check<T: Element>(cpu: &Cpu, case: &Case) {
        let (found, expected) = (from_y::<T>(cpu, case, false), from_x::<T>(cpu, case));
        assert_eq!(found[0], expected[0], "{case:?}");
        let running = expected.len() - 2..;
        assert_eq!(found[running.clone()], expected[running], "{case:?}");
    }
    let cpu = Cpu::with_threads(2).unwrap();
    for case in cases() {
        check::<f32>(&cpu, &case);
        check::<f16>(&cpu, &case);
        check::<bf16>(&cpu, &case);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    fn check<T: Element>(case: &Case) {
        let cpus = [1, 2, 3].map(|threads| Cpu::with_threads(threads).unwrap());
        for in_place in [false, true] {
            let [one, two, three] = cpus.each_ref().map(|cpu| from_y::<T>(cpu, case, in_place));
            assert!(one == two && one == three, "{case:?}");
        }
    }
    for case in cases() {
        check::<f32>(&case);
        check::<bf16>(&case);
    }
}

/// `backward`, `backward_into` and `backward_in_place`.
#[test]
fn every_form_gives_the_same_bits() {
    fn check<T: Element>(cpu: &Cpu, case: &Case) {
        let mut layer = layer::<T>(cpu, case.config);
        let (mut x, residual, dy) = arrays::<T>(cpu, case);
        let residual = residual.as_ref();
        let pass = layer
            .forward_training_in_place(&mut x, lent(residual))
            .unwrap();
        let allocated = match residual {
            Some(residual) => pass.backward_add(residual, &dy).unwrap(),
            None => pass.backward(&dy).unwrap(),
        };
        let mut rooms = [0; 2].map(|_| Tensor::<T, Cpu>::zeros(cpu, case.shape).unwrap());
        let [dx, dresidual] = &mut rooms;
        let asked = residual.map(|_| dresidual as &mut dyn DataMut<Cpu, Element = T>);
        let into = pass.backward_into(lent(residual), &dy, dx, asked).unwrap();
        assert_eq!(rooms[0].slice(), allocated.input.slice(), "{case:?}");
        let mut in_place = dy.clone();
        let of_parameters = pass.backward_in_place(lent(residual), &mut in_place, None);
        assert_eq!(in_place.slice(), allocated.input.slice(), "{case:?}");
        if let Some(dresidual) = &allocated.residual {
            assert_eq!(rooms[1].slice(), dresidual.slice(), "{case:?}");
        }
        let bits = |array: Option<batchnorm::ChannelArray<T::Compute, Cpu>>| {
            array.map(|array| array.to_vec().unwrap())
        };
        let expected = (bits(allocated.gamma), bits(allocated.beta));
        assert_eq!((bits(into.gamma), bits(into.beta)), expected, "{case:?}");
        let of_parameters = of_parameters.unwrap();
        assert_eq!(
            (bits(of_parameters.gamma), bits(of_parameters.beta)),
            expected
        );
    }
    let cpu = Cpu::with_threads(2).unwrap();
    for case in cases() {
        check::<f32>(&cpu, &case);
        check::<f16>(&cpu, &case);
    }
}

/// No channel learns of another's NaN, and ELU's y of −α, of which no v can be found, is no infinity.
#[test]
fn values_without_a_v_stay_where_they_are() {
    let cpu = Cpu::with_threads(1).unwrap();
    let shape = Shape::channels_first(&[2, 3, 40]).unwrap();
    let mut values = wave(shape.len(), 1.7, 0.2);
    values[0] = f64::NAN;
    // Far below all others of the second channel, and y is rounded to −α.
    values[45] = -60.0;
    let dy = tensor::<f32, _>(&cpu, shape, &wave(shape.len(), 0.9, 2.3));
    for activation in [Activation::None, LEAKY, ELU] {
        let mut layer = layer::<f32>(&cpu, BatchNormConfig::new(3).activation(activation));
        layer.gamma_mut().unwrap().set(&[1.0, 20.0, 1.0]).unwrap();
        let x = tensor::<f32, _>(&cpu, shape, &values);
        let pass = layer.forward_training_in_place(x, None).unwrap();
        let y = pass.output().to_vec().unwrap();
        assert_eq!(y[45] == -0.8, activation == ELU);
        let dx = pass.backward(&dy).unwrap().input.to_vec().unwrap();
        for (i, dx) in dx.iter().enumerate() {
            let has_nan = i % 120 < 40;
            assert_eq!(dx.is_nan(), has_nan, "{activation}: dx[{i}] is {dx}");
            assert!(has_nan || dx.is_finite(), "{activation}: dx[{i}] is {dx}");
        }
    }
}

#[test]
fn an_empty_batch_gives_no_gradients() {
    let cpu = Cpu::with_threads(1).unwrap();
    let shape = Shape::channels_first(&[0, 3, 4]).unwrap();
    let mut layer = layer::<f32>(&cpu, BatchNormConfig::new(3).activation(LEAKY));
    let x = Tensor::<f32, _>::zeros(&cpu, shape).unwrap();
    let pass = layer.forward_training_in_place(x, None).unwrap();
    let gradients = pass.backward(pass.output()).unwrap();
    assert!(gradients.input.slice().is_empty());
    assert_eq!(gradients.gamma.unwrap().to_vec().unwrap(), [0.0; 3]);
}
