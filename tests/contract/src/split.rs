//! Several sets over groups of samples: what a layer of its own for each group gives.

use batchnorm::backend::Backend;
use batchnorm::{
    Activation, Averaging, BatchNorm, BatchNormConfig, Compute, Data, DataMut, Element,
    ParameterGradients, Renormalization, SampleGroup, Shape, SplitBatchNorm, Tensor,
};
use half::{bf16, f16};

use crate::data::{add_residual, add_running, ordinary, typed};
use crate::layers::running;
use crate::reference::Problem;
use crate::shapes;
use crate::tolerance::compute_roundoff;

/// Sets in no order, one of them not among the groups.
const GROUPS: [SampleGroup; 3] = [
    SampleGroup { set: 2, samples: 3 },
    SampleGroup { set: 0, samples: 4 },
    SampleGroup { set: 3, samples: 2 },
];
const SETS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Pass {
    Training,
    Frozen,
    Inference,
}

/// The problem of a group: its samples, and γ, β and running statistics of its set.
fn of_group<T: Element>(whole: &Problem, start: usize, group: SampleGroup) -> Problem {
    let mut dims = whole.shape.dims().to_vec();
    let sample = whole.shape.len() / dims[0];
    dims[0] = group.samples;
    let shape = Shape::new(&dims, whole.shape.layout()).unwrap();
    let mut of_set = ordinary::<T>(shape, 100 + group.set as u64);
    add_running::<T>(&mut of_set, 200 + group.set as u64);
    let part = |values: &[f64]| values[start * sample..(start + group.samples) * sample].to_vec();
    Problem {
        x: part(&whole.x),
        dy: part(&whole.dy),
        residual: whole.residual.as_deref().map(part),
        activation: whole.activation,
        ..of_set
    }
}

fn set_numbers<B: Backend, C: Compute>(layer: &mut BatchNorm<B, C>, problem: &Problem) {
    if let Some(gamma) = layer.gamma_mut() {
        gamma.set(&typed(&problem.gamma)).unwrap();
    }
    if let Some(beta) = layer.beta_mut() {
        beta.set(&typed(&problem.beta)).unwrap();
    }
    let (mean, variance) = problem.running.as_ref().unwrap();
    if let Some(running) = layer.running_mut() {
        running.set(&typed(mean), &typed(variance), 3).unwrap();
    }
}

fn tensor<T: Element, B: Backend>(backend: &B, shape: Shape, values: &[f64]) -> Tensor<T, B> {
    Tensor::new(backend, shape, &typed::<T>(values)).unwrap()
}

fn bits<T: Element>(values: &[T]) -> Vec<u64> {
    let bits = values.iter().map(|value| value.to_f64().to_bits());
    bits.collect()
}

/// dγ and dβ, those that there are.
fn of_parameters<B: Backend, C: Compute>(gradients: &ParameterGradients<C, B>) -> Vec<Vec<C>> {
    let arrays = gradients.parameters();
    arrays.map(|(_, array)| array.to_vec().unwrap()).collect()
}

/// The bits of y, dx and the residual's gradient.
type Arrays = [Vec<u64>; 3];

/// What a pass is given, on the backend.
struct Given<T: Element, B: Backend> {
    x: Tensor<T, B>,
    dy: Tensor<T, B>,
    residual: Option<Tensor<T, B>>,
    /// To be written.
    y: Tensor<T, B>,
    dx: Tensor<T, B>,
    dresidual: Option<Tensor<T, B>>,
}

impl<T: Element, B: Backend> Given<T, B> {
    fn of(backend: &B, problem: &Problem) -> Self {
        let tensor = |values: &[f64]| tensor::<T, B>(backend, problem.shape, values);
        let unwritten = vec![f64::NAN; problem.shape.len()];
        let residual = problem.residual.as_deref();
        Self {
            x: tensor(&problem.x),
            dy: tensor(&problem.dy),
            residual: residual.map(tensor),
            y: tensor(&unwritten),
            dx: tensor(&unwritten),
            dresidual: residual.map(|_| tensor(&unwritten)),
        }
    }

    fn written(&self) -> Arrays {
        let of = |tensor: &Tensor<T, B>| bits(&tensor.to_vec().unwrap());
        let dresidual = self.dresidual.as_ref().map_or_else(Vec::new, of);
        [of(&self.y), of(&self.dx), dresidual]
    }
}

fn lent<T: Element, B: Backend>(
    tensor: Option<&Tensor<T, B>>,
) -> Option<&dyn Data<B, Element = T>> {
    tensor.map(|tensor| tensor as &dyn Data<B, Element = T>)
}

fn lent_mut<T: Element, B: Backend>(
    tensor: Option<&mut Tensor<T, B>>,
) -> Option<&mut dyn DataMut<B, Element = T>> {
    tensor.map(|tensor| tensor as &mut dyn DataMut<B, Element = T>)
}

/// A pass of all groups, and back. (Inference goes back as a frozen pass.)
fn together<T: Element, B: Backend>(
    backend: &B,
    layer: &mut SplitBatchNorm<B, T::Compute>,
    problem: &Problem,
    pass: Pass,
) -> (Arrays, Vec<ParameterGradients<T::Compute, B>>) {
    let mut given = Given::<T, B>::of(backend, problem);
    let (x, y, residual) = (&given.x, &mut given.y, lent(given.residual.as_ref()));
    let made = match pass {
        Pass::Training => layer.forward_training_into(x, residual, y, &GROUPS),
        _ => layer.forward_frozen_into(x, residual, y, &GROUPS),
    };
    let dresidual = lent_mut(given.dresidual.as_mut());
    let made = made.unwrap();
    let sets = made.backward_into(&given.dy, &mut given.dx, dresidual);
    if pass == Pass::Inference {
        let result = layer.forward_inference_into(x, residual, y, &GROUPS);
        result.unwrap();
    }
    (given.written(), sets.unwrap())
}

/// The same of one group.
fn alone<T: Element, B: Backend>(
    backend: &B,
    layer: &mut BatchNorm<B, T::Compute>,
    problem: &Problem,
    pass: Pass,
) -> (Arrays, ParameterGradients<T::Compute, B>) {
    let mut given = Given::<T, B>::of(backend, problem);
    let (x, y, residual) = (&given.x, &mut given.y, lent(given.residual.as_ref()));
    let made = match pass {
        Pass::Training => layer.forward_training_into(x, residual, y),
        _ => layer.forward_frozen_into(x, residual, y),
    };
    let dresidual = lent_mut(given.dresidual.as_mut());
    let made = made.unwrap();
    let gradients = made.backward_into(&given.dy, &mut given.dx, dresidual);
    if pass == Pass::Inference {
        let result = layer.forward_inference_into(x, residual, y);
        result.unwrap();
    }
    (given.written(), gradients.unwrap())
}

fn check<T: Element, B: Backend>(
    backend: &B,
    whole: &Problem,
    config: BatchNormConfig,
    pass: Pass,
) {
    let mut split = SplitBatchNorm::<B, T::Compute>::with_compute(backend, config, SETS).unwrap();
    let (mut layers, mut start) = (vec![], 0);
    for group in GROUPS {
        let problem = of_group::<T>(whole, start, group);
        set_numbers(split.set_mut(group.set).unwrap(), &problem);
        let mut layer = BatchNorm::<B, T::Compute>::with_compute(backend, config).unwrap();
        set_numbers(&mut layer, &problem);
        layers.push((problem, layer));
        start += group.samples;
    }
    let (found, sets) = together::<T, B>(backend, &mut split, whole, pass);
    let mut expected: Arrays = Default::default();
    for (group, (problem, layer)) in GROUPS.iter().zip(&mut layers) {
        let (of_group, gradients) = alone::<T, B>(backend, layer, problem, pass);
        for (all, of_group) in expected.iter_mut().zip(of_group) {
            all.extend(of_group);
        }
        let message = format!("{}, {pass:?}, set {}", whole.shape, group.set);
        let of_set = of_parameters(&sets[group.set]);
        assert_eq!(of_set, of_parameters(&gradients), "{message}");
        if layer.running().is_some() {
            let followed = running(&split.sets()[group.set]);
            assert_eq!(followed, running(layer), "{message}");
        }
    }
    assert_eq!(found, expected, "{}, {pass:?}", whole.shape);
    // The set that had no samples.
    let nothing = vec![T::Compute::from_f64(0.0); whole.shape.channels()];
    for gradient in of_parameters(&sets[1]) {
        assert_eq!(gradient, nothing);
    }
    if split.sets()[1].running().is_some() {
        assert_eq!(running(&split.sets()[1]).2, 0);
    }
}

/// Batches of as many samples as the groups have.
fn batches() -> Vec<Shape> {
    let batch: usize = GROUPS.iter().map(|group| group.samples).sum();
    let with_batch = |shape: Shape| {
        let mut dims = shape.dims().to_vec();
        dims[0] = batch;
        Shape::new(&dims, shape.layout()).unwrap()
    };
    shapes::ranks().into_iter().map(with_batch).collect()
}

pub fn groups_have_the_bits_of_layers_of_their_own<B: Backend>(backend: &B) {
    fn of_type<T: Element, B: Backend>(backend: &B) {
        for (seed, shape) in batches().into_iter().enumerate() {
            let mut problem = ordinary::<T>(shape, seed as u64);
            let config = BatchNormConfig::new(shape.channels());
            for pass in [Pass::Training, Pass::Frozen, Pass::Inference] {
                check::<T, B>(backend, &problem, config, pass);
            }
            add_residual::<T>(&mut problem, 5);
            let config = config.activation(Activation::Relu);
            for pass in [Pass::Training, Pass::Frozen, Pass::Inference] {
                check::<T, B>(backend, &problem, config, pass);
            }
            for config in [
                config.ghost_batch(2),
                config.renormalization(Renormalization::new(1.5, 0.5)),
                config.averaging(Averaging::Off).gamma(false),
                config.averaging(Averaging::Cumulative).beta(false),
            ] {
                check::<T, B>(backend, &problem, config, Pass::Training);
            }
            check::<T, B>(
                backend,
                &problem,
                config.averaging(Averaging::Off),
                Pass::Frozen,
            );
        }
    }
    of_type::<f32, B>(backend);
    of_type::<f16, B>(backend);
    of_type::<bf16, B>(backend);
    of_type::<f64, B>(backend);
}

/// γ and β of the first set for all, and a set with two groups.
pub fn shared_parameters_have_the_sum_of_all_gradients<B: Backend>(backend: &B) {
    fn of_type<T: Element, B: Backend>(backend: &B) {
        for (seed, shape) in batches().into_iter().enumerate() {
            let problem = ordinary::<T>(shape, seed as u64);
            let config = BatchNormConfig::new(shape.channels());
            let mut split =
                SplitBatchNorm::<B, T::Compute>::with_shared_parameters(backend, config, 2)
                    .unwrap();
            let mut alone = BatchNorm::<B, T::Compute>::with_compute(backend, config).unwrap();
            for layer in [split.set_mut(0).unwrap(), &mut alone] {
                layer
                    .gamma_mut()
                    .unwrap()
                    .set(&typed(&problem.gamma))
                    .unwrap();
                layer
                    .beta_mut()
                    .unwrap()
                    .set(&typed(&problem.beta))
                    .unwrap();
            }
            assert!(split.sets()[1].gamma().is_none() && split.sets()[1].beta().is_none());
            let groups =
                [(1, 3), (0, 4), (1, 2)].map(|(set, samples)| SampleGroup { set, samples });
            let x = tensor::<T, B>(backend, shape, &problem.x);
            let dy = tensor::<T, B>(backend, shape, &problem.dy);
            let (y, pass) = split.forward_training(&x, &groups).unwrap();
            let found = pass.backward(&dy).unwrap();
            let statistics: Vec<usize> = pass.statistics().map(|(set, _)| set).collect();
            assert_eq!(statistics, [1, 0, 1]);

            let channels = shape.channels();
            let (mut sums, mut sizes) = ([vec![0.0; channels], vec![0.0; channels]], [0.0; 2]);
            let (mut expected_y, mut start) = (vec![], 0);
            for group in groups {
                let part = of_group::<T>(&problem, start, group);
                let x = tensor::<T, B>(backend, part.shape, &part.x);
                let (y, pass) = alone.forward_training_deferred(&x).unwrap();
                expected_y.extend(y.to_vec().unwrap());
                let dy = tensor::<T, B>(backend, part.shape, &part.dy);
                let gradients = pass.backward(&dy).unwrap();
                for (i, (_, array)) in gradients.parameters().enumerate() {
                    let array = array.to_vec().unwrap();
                    for (sum, value) in sums[i].iter_mut().zip(&array) {
                        *sum += value.to_f64();
                        sizes[i] = f64::max(sizes[i], value.to_f64().abs());
                    }
                }
                start += group.samples;
            }
            assert_eq!(bits(&y.to_vec().unwrap()), bits(&expected_y), "{shape}");
            assert!(found.sets[1].gamma.is_none() && found.sets[1].beta.is_none());
            let of_first = of_parameters(&found.sets[0]);
            for i in 0..2 {
                for (found, sum) in of_first[i].iter().zip(&sums[i]) {
                    let bound = 6.0 * compute_roundoff::<T>() * sizes[i];
                    assert!(
                        (found.to_f64() - sum).abs() <= bound,
                        "{shape}: {found:?} {sum}"
                    );
                }
            }
            let followed = |set: usize| running(&split.sets()[set]).2;
            assert_eq!((followed(0), followed(1)), (1, 2));
        }
    }
    of_type::<f32, B>(backend);
    of_type::<f16, B>(backend);
    of_type::<f64, B>(backend);
}
