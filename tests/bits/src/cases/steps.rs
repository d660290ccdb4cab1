//! The steps of the contract, one by one: the only file here that names their operands.

use batchnorm::backend::{
    ActivationBackward, Backend, Epilogue, GradientSums, GradientSumsMut, InOut, Memory,
    Normalization, RunningMut, SavedActivation, Statistics, StatisticsMut,
};
use batchnorm::{Activation, Element, Shape};

use super::checksum::Checksum;
use super::inputs::Inputs;

const EPSILON: f64 = 1e-3;
/// The weight of the batch, and the correction of its variance, where running statistics follow.
const FACTOR: f64 = 0.3;
const CORRECTION: f64 = 1.25;

/// The name of each step and the checksum of what it leaves behind. Each is given what those before it made.
pub(super) fn checksums<T: Element, B: Backend>(
    backend: &B,
    inputs: &Inputs<T>,
) -> Vec<(String, u64)> {
    let mut steps = Steps {
        of: Uploaded::new(backend, inputs),
        backend,
        inputs,
        checksums: vec![],
    };
    let statistics = steps.statistics();
    steps.update_running(&statistics);
    steps.inverse_std();
    let mask = steps.normalize(&statistics);
    steps.backward(&statistics, &mask);
    steps.checksums
}

/// The inputs, on the backend.
struct Uploaded<T: Element, B: Backend> {
    x: B::Buffer<T>,
    dy: B::Buffer<T>,
    residual: B::Buffer<T>,
    gamma: B::Buffer<T::Compute>,
    beta: B::Buffer<T::Compute>,
    running_variance: B::Buffer<T::Compute>,
}

impl<T: Element, B: Backend> Uploaded<T, B> {
    fn new(backend: &B, inputs: &Inputs<T>) -> Self {
        Self {
            x: backend.upload(&inputs.x).unwrap(),
            dy: backend.upload(&inputs.dy).unwrap(),
            residual: backend.upload(&inputs.residual).unwrap(),
            gamma: backend.upload(&inputs.gamma).unwrap(),
            beta: backend.upload(&inputs.beta).unwrap(),
            running_variance: backend.upload(&inputs.running_variance).unwrap(),
        }
    }

    fn normalization<'a>(
        &'a self,
        [mean, mean_low, _, inv_std]: &'a [B::Buffer<T::Compute>; 4],
    ) -> Normalization<B::Slice<'a, T::Compute>> {
        Normalization {
            mean: B::as_slice(mean),
            mean_low: B::as_slice(mean_low),
            inv_std: B::as_slice(inv_std),
            gamma: B::as_slice(&self.gamma),
            beta: B::as_slice(&self.beta),
        }
    }
}

struct Steps<'a, T: Element, B: Backend> {
    of: Uploaded<T, B>,
    backend: &'a B,
    inputs: &'a Inputs<T>,
    checksums: Vec<(String, u64)>,
}

/// NaN, which a step has to write over: the memory of a layer's outputs holds anything before.
pub(super) fn poisoned<T: Element, B: Backend>(backend: &B, len: usize) -> B::Buffer<T> {
    let poison = T::from_f64(f64::NAN);
    backend.upload(&vec![poison; len]).unwrap()
}

/// Mean, what it rounds away, variance, inverse of the deviation.
type FourArrays<T, B> = [<B as Memory>::Buffer<<T as Element>::Compute>; 4];

impl<T: Element, B: Backend> Steps<'_, T, B> {
    fn shape(&self) -> &Shape {
        &self.inputs.shape
    }

    /// Room for a value per channel.
    fn per_channel(&self) -> B::Buffer<T::Compute> {
        poisoned::<T::Compute, B>(self.backend, self.shape().channels())
    }

    /// Room for values of the shape.
    fn values(&self) -> B::Buffer<T> {
        poisoned::<T, B>(self.backend, self.shape().len())
    }

    fn running(&self) -> [B::Buffer<T::Compute>; 2] {
        [&self.inputs.running_mean, &self.inputs.running_variance]
            .map(|values| self.backend.upload(values).unwrap())
    }

    fn note<'b, E: Element>(
        &mut self,
        step: impl Into<String>,
        arrays: impl IntoIterator<Item = &'b B::Buffer<E>>,
    ) where
        B: 'b,
    {
        let mut checksum = Checksum::new();
        for array in arrays {
            checksum.add(&self.backend.download::<E>(B::as_slice(array)).unwrap());
        }
        self.checksums.push((step.into(), checksum.finish()));
    }

    fn statistics(&mut self) -> FourArrays<T, B> {
        let mut found = [0; 4].map(|_| self.per_channel());
        self.reduce(&mut found, None);
        self.note("statistics", &found);

        let mut followed = [0; 4].map(|_| self.per_channel());
        let mut running = self.running();
        let [mean, variance] = &mut running;
        let follow = RunningMut {
            mean: B::as_slice_mut(mean),
            variance: B::as_slice_mut(variance),
            factor: FACTOR,
            correction: CORRECTION,
            only_finite: false,
        };
        self.reduce(&mut followed, Some(follow));
        self.note("statistics/running", followed.iter().chain(&running));
        found
    }

    fn reduce<'o>(
        &self,
        [mean, mean_low, variance, inv_std]: &'o mut FourArrays<T, B>,
        running: Option<RunningMut<B::SliceMut<'o, T::Compute>>>,
    ) {
        let out = StatisticsMut {
            mean: B::as_slice_mut(mean),
            mean_low: B::as_slice_mut(mean_low),
            variance: B::as_slice_mut(variance),
            inv_std: B::as_slice_mut(inv_std),
            running,
        };
        self.backend
            .statistics::<T>(self.shape(), B::as_slice(&self.of.x), EPSILON, out)
            .unwrap();
    }

    fn update_running(&mut self, [mean, mean_low, variance, inv_std]: &FourArrays<T, B>) {
        let batch = Statistics {
            mean: B::as_slice(mean),
            mean_low: B::as_slice(mean_low),
            variance: B::as_slice(variance),
            inv_std: B::as_slice(inv_std),
        };
        let mut running = self.running();
        let [mean, variance] = &mut running;
        self.backend
            .update_running::<T::Compute>(
                batch,
                RunningMut {
                    mean: B::as_slice_mut(mean),
                    variance: B::as_slice_mut(variance),
                    factor: FACTOR,
                    correction: CORRECTION,
                    only_finite: false,
                },
            )
            .unwrap();
        self.note("update-running", &running);
    }

    fn inverse_std(&mut self) {
        let mut inv_std = self.per_channel();
        self.backend
            .inverse_std::<T::Compute>(
                B::as_slice(&self.of.running_variance),
                EPSILON,
                B::as_slice_mut(&mut inv_std),
            )
            .unwrap();
        self.note("inverse-std", [&inv_std]);
    }

    /// With each epilogue, into other memory and over x. Gives the mask of the last.
    fn normalize(&mut self, statistics: &FourArrays<T, B>) -> B::Mask {
        let mut mask = self.backend.mask::<T>(self.shape()).unwrap();
        for epilogue in ["none", "relu", "add", "add-relu"] {
            for in_place in [false, true] {
                let mut y = if in_place {
                    self.backend.upload(&self.inputs.x).unwrap()
                } else {
                    self.values()
                };
                let residual = B::as_slice(&self.of.residual);
                let done = match epilogue {
                    "none" => Epilogue::of(Activation::None),
                    "relu" => Epilogue::of(Activation::Relu),
                    "add" => Epilogue::of(Activation::None).with_residual(residual),
                    _ => Epilogue {
                        activation: Activation::Relu,
                        residual: Some(residual),
                        saved: SavedActivation::Mask(&mut mask),
                    },
                };
                let x_to_y = if in_place {
                    InOut::InPlace(B::as_slice_mut(&mut y))
                } else {
                    InOut::Separate(B::as_slice(&self.of.x), B::as_slice_mut(&mut y))
                };
                let with = self.of.normalization(statistics);
                self.backend
                    .normalize::<T>(self.shape(), x_to_y, with, done)
                    .unwrap();
                self.note(format!("normalize/{epilogue}{}", where_to(in_place)), [&y]);
            }
        }
        mask
    }

    /// Both steps, behind each activation.
    fn backward(&mut self, statistics: &FourArrays<T, B>, mask: &B::Mask) {
        for (name, activation) in [
            ("open", ActivationBackward::of(Activation::None)),
            ("relu", ActivationBackward::of(Activation::Relu)),
            (
                "mask",
                ActivationBackward {
                    activation: Activation::Relu,
                    saved: SavedActivation::Mask(mask),
                },
            ),
        ] {
            let sums = self.backward_reduce(statistics, name, activation);
            for with_sums in [false, true] {
                for in_place in [false, true] {
                    let sums = with_sums.then_some(&sums);
                    self.backward_input(statistics, name, activation, sums, in_place);
                }
            }
        }
    }

    fn backward_reduce(
        &mut self,
        statistics: &FourArrays<T, B>,
        name: &str,
        activation: ActivationBackward<&B::Mask, B::Slice<'_, T>>,
    ) -> [B::Buffer<T::Compute>; 2] {
        let mut sums = [0; 2].map(|_| self.per_channel());
        let [gamma, beta] = &mut sums;
        let out = GradientSumsMut {
            gamma: B::as_slice_mut(gamma),
            beta: B::as_slice_mut(beta),
        };
        let (dy, x) = (B::as_slice(&self.of.dy), B::as_slice(&self.of.x));
        let with = self.of.normalization(statistics);
        self.backend
            .backward_reduce::<T>(self.shape(), dy, x, with, activation, out)
            .unwrap();
        self.note(format!("backward-reduce/{name}"), &sums);
        sums
    }

    fn backward_input(
        &mut self,
        statistics: &FourArrays<T, B>,
        name: &str,
        activation: ActivationBackward<&B::Mask, B::Slice<'_, T>>,
        sums: Option<&[B::Buffer<T::Compute>; 2]>,
        in_place: bool,
    ) {
        let mut dx = if in_place {
            self.backend.upload(&self.inputs.dy).unwrap()
        } else {
            self.values()
        };
        // Left as it is where it is not asked for.
        let mut dresidual = if in_place {
            self.values()
        } else {
            self.backend.zeros(self.shape().len()).unwrap()
        };
        let dy_to_dx = if in_place {
            InOut::InPlace(B::as_slice_mut(&mut dx))
        } else {
            InOut::Separate(B::as_slice(&self.of.dy), B::as_slice_mut(&mut dx))
        };
        let given = sums.map(|[gamma, beta]| GradientSums {
            gamma: B::as_slice(gamma),
            beta: B::as_slice(beta),
            count: self.shape().values_per_channel(),
        });
        // Where dx goes to other memory, without the gradient of a residual.
        let second = in_place.then(|| B::as_slice_mut(&mut dresidual));
        let (x, with) = (B::as_slice(&self.of.x), self.of.normalization(statistics));
        self.backend
            .backward_input::<T>(self.shape(), dy_to_dx, x, with, activation, given, second)
            .unwrap();
        let formula = if sums.is_some() { "batch" } else { "running" };
        let step = format!("backward-input/{name}/{formula}{}", where_to(in_place));
        self.note(step, [&dx, &dresidual]);
    }
}

fn where_to(in_place: bool) -> &'static str {
    if in_place { "/in-place" } else { "" }
}
