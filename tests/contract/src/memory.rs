//! Where values are read and written.

use batchnorm::backend::{
    Activation, Affine, Backend, Epilogue, InOut, Normalization, StatisticsMut,
};
use batchnorm::{Cpu, Element, Shape};
use half::f16;

use crate::data::{add_residual, ordinary, typed};
use crate::reference::Problem;
use crate::run::{How, backward, forward};
use crate::shapes;

pub fn in_place_gives_the_same_bits<B: Backend>(backend: &B) {
    for shape in shapes::ranks()
        .into_iter()
        .chain(shapes::large().into_iter().step_by(3))
    {
        for activation in [
            Activation::None,
            Activation::Relu,
            Activation::LeakyRelu { slope: 0.1 },
            Activation::Silu,
            Activation::Relu6,
            Activation::Gelu,
        ] {
            let mut problem = ordinary::<f32>(shape, 2);
            problem.activation = activation;
            add_residual::<f32>(&mut problem, 3);
            let answer = forward::<f32, B>(backend, &problem, How::Fused);
            let separate = backward::<f32, B>(backend, &problem, &answer, How::Fused, false);
            assert_eq!(
                separate,
                backward::<f32, B>(backend, &problem, &answer, How::Fused, true),
                "{shape}"
            );
            normalize_in_place(backend, &problem);
        }
    }
}

fn normalize_in_place<B: Backend>(backend: &B, problem: &Problem) {
    let channels = problem.shape.channels();
    let arrays =
        [0.3f32, 1e-9, 1.7, -0.8, 0.4].map(|value| backend.upload(&vec![value; channels]).unwrap());
    let with = Normalization {
        mean: B::as_slice(&arrays[0]),
        mean_low: B::as_slice(&arrays[1]),
        inv_std: B::as_slice(&arrays[2]),
        gamma: B::as_slice(&arrays[3]),
        beta: B::as_slice(&arrays[4]),
    };
    let mut both = backend.upload(&typed::<f32>(&problem.x)).unwrap();
    let x = backend.upload(&typed::<f32>(&problem.x)).unwrap();
    let mut y = backend.zeros::<f32>(problem.shape.len()).unwrap();
    let separate = InOut::Separate(B::as_slice(&x), B::as_slice_mut(&mut y));
    backend
        .normalize::<f32>(
            &problem.shape,
            separate,
            with,
            Epilogue::of(Activation::Relu),
        )
        .unwrap();
    let in_place = InOut::InPlace(B::as_slice_mut(&mut both));
    backend
        .normalize::<f32>(
            &problem.shape,
            in_place,
            with,
            Epilogue::of(Activation::Relu),
        )
        .unwrap();
    let (y, both) = (
        backend.download::<f32>(B::as_slice(&y)),
        backend.download::<f32>(B::as_slice(&both)),
    );
    assert_eq!(y.unwrap(), both.unwrap());
}

/// Forward training on slices of larger arrays that begin `offset` values in. Returns y's whole array.
fn train_at_offset<T: Element>(cpu: &Cpu, problem: &Problem, offset: usize) -> Vec<T> {
    let (shape, len, channels) = (problem.shape, problem.shape.len(), problem.shape.channels());
    let sentinel = T::from_f64(-77.0);
    let mut x = vec![sentinel; len + 40];
    x[offset..offset + len].copy_from_slice(&typed::<T>(&problem.x));
    let mut y = vec![sentinel; len + 40];
    let (gamma, beta) = (
        typed::<T::Compute>(&problem.gamma),
        typed::<T::Compute>(&problem.beta),
    );
    let mut arrays = [0; 4].map(|_| vec![T::Compute::default(); channels]);
    let [mean, mean_low, variance, inv_std] = arrays.each_mut().map(Vec::as_mut_slice);
    let out = StatisticsMut {
        mean,
        mean_low,
        variance,
        inv_std,
        running: None,
    };
    let affine = Affine {
        gamma: gamma.as_slice(),
        beta: beta.as_slice(),
        epsilon: problem.epsilon,
    };
    let (x, y_part) = (&x[offset..offset + len], &mut y[offset..offset + len]);
    cpu.forward_training::<T>(
        &shape,
        x,
        affine,
        Epilogue::of(Activation::None),
        y_part,
        out,
    )
    .unwrap();
    y
}

pub fn any_alignment_gives_the_same_bits(cpu: &Cpu) {
    fn check<T: Element>(cpu: &Cpu, shape: Shape) {
        let problem = ordinary::<T>(shape, 1);
        let expected = train_at_offset::<T>(cpu, &problem, 0);
        for offset in 1..20 {
            let found = train_at_offset::<T>(cpu, &problem, offset);
            assert_eq!(found[offset..offset + shape.len()], expected[..shape.len()]);
        }
    }
    for shape in shapes::ranks() {
        check::<f32>(cpu, shape);
        check::<f16>(cpu, shape);
        check::<f64>(cpu, shape);
    }
}

pub fn nothing_outside_is_written(cpu: &Cpu) {
    for shape in shapes::small()
        .into_iter()
        .step_by(5)
        .chain(shapes::large())
    {
        let y = train_at_offset::<f32>(cpu, &ordinary::<f32>(shape, 1), 20);
        assert!(
            y[..20]
                .iter()
                .chain(&y[20 + shape.len()..])
                .all(|&value| value == -77.0),
            "{shape}"
        );
    }
}
