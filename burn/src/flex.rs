//! Both passes on burn's tensors on the processor.
#![expect(
    unsafe_code,
    reason = "outputs are not filled before a pass writes them"
)]

use std::fmt;
use std::sync::Arc;

use batchnorm::Cpu;
use batchnorm::backend::{
    Activation, ActivationBackward, Affine, Backend as _, Epilogue, GradientSumsMut, InOut,
    Normalization, StatisticsMut, StatisticsSource,
};
use burn::backend::flex::FlexTensor;
use burn::backend::{DType, Flex};
use burn::tensor::{bf16, f16};

use crate::memory::{Order, Value, channel_tensor, channels, values};
use crate::operation::{BackwardPass, BothPasses, FusedBatchNorm, Gradients, Trained};
use crate::output::written_by;

/// Calls what is generic over the type of x for the type that it has.
macro_rules! for_type_of {
    ($x:expr, $function:ident($($argument:expr),*)) => {
        match $x.dtype() {
            DType::F64 => $function::<f64>($($argument),*),
            DType::F32 => $function::<f32>($($argument),*),
            DType::F16 => $function::<f16>($($argument),*),
            DType::BF16 => $function::<bf16>($($argument),*),
            other => panic!("batch norm takes f64, f32, f16 and bf16, and this is {other:?}"),
        }
    };
}

impl FusedBatchNorm for Flex {
    fn normalize_with_batch(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f64,
    ) -> Trained<Self> {
        Self::train(x, gamma, beta, epsilon).0
    }

    fn normalize_with_running(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        epsilon: f64,
    ) -> FlexTensor {
        Self::freeze(x, gamma, beta, mean, variance, epsilon).0
    }
}

impl BothPasses for Flex {
    fn train(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f64,
    ) -> (Trained<Self>, Arc<dyn BackwardPass<Self>>) {
        for_type_of!(x, train(x, &gamma, &beta, epsilon))
    }

    fn freeze(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        epsilon: f64,
    ) -> (FlexTensor, Arc<dyn BackwardPass<Self>>) {
        for_type_of!(x, freeze(x, &gamma, &beta, &mean, &variance, epsilon))
    }
}

/// What a backward pass needs of the forward pass, beside x and γ.
struct Saved<T: Value> {
    order: Order,
    source: StatisticsSource,
    mean: Vec<T::Compute>,
    mean_low: Vec<T::Compute>,
    inv_std: Vec<T::Compute>,
}

impl<T: Value> fmt::Debug for Saved<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statistics of {:?}", self.order.shape)
    }
}

impl<T: Value> Saved<T> {
    fn normalization<'a>(
        &'a self,
        gamma: &'a [T::Compute],
        beta: &'a [T::Compute],
    ) -> Normalization<&'a [T::Compute]> {
        Normalization {
            mean: &self.mean,
            mean_low: &self.mean_low,
            inv_std: &self.inv_std,
            gamma,
            beta,
        }
    }
}

fn zeros<T: Value>(order: &Order) -> Vec<T::Compute> {
    vec![<T::Compute as batchnorm::Element>::from_f64(0.0); order.shape.channels()]
}

fn train<T: Value>(
    x: FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    epsilon: f64,
) -> (Trained<Flex>, Arc<dyn BackwardPass<Flex>>) {
    let order = Order::of(&x);
    let run = order.run_of(x);
    let mut saved = Saved::<T> {
        source: StatisticsSource::Batch,
        mean: zeros::<T>(&order),
        mean_low: zeros::<T>(&order),
        inv_std: zeros::<T>(&order),
        order,
    };
    let mut variance = zeros::<T>(&saved.order);
    let (gamma_values, beta_values) = (channels(gamma), channels(beta));
    let affine = Affine {
        gamma: &gamma_values[..],
        beta: &beta_values[..],
        epsilon,
    };
    let shape = &saved.order.shape;
    let write = |y: &mut [T]| {
        let out = StatisticsMut {
            mean: &mut saved.mean[..],
            mean_low: &mut saved.mean_low[..],
            variance: &mut variance[..],
            inv_std: &mut saved.inv_std[..],
            running: None,
        };
        let epilogue = Epilogue::of(Activation::None);
        Cpu::new().forward_training(shape, values::<T>(&run), affine, epilogue, y, out)
    };
    // SAFETY: a forward pass writes all of y and reads none of it; where it returns an error, the next line panics before
    // anybody reads it.
    let (y, done) = unsafe { written_by(shape.len(), write) };
    done.unwrap_or_else(|error| panic!("{error}"));
    let trained = Trained {
        output: saved.order.tensor(y),
        mean: channel_tensor(&saved.mean, gamma.dtype()),
        variance: channel_tensor(&variance, gamma.dtype()),
    };
    (trained, Arc::new(saved))
}

fn freeze<T: Value>(
    x: FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    mean: &FlexTensor,
    variance: &FlexTensor,
    epsilon: f64,
) -> (FlexTensor, Arc<dyn BackwardPass<Flex>>) {
    let order = Order::of(&x);
    let run = order.run_of(x);
    let mut saved = Saved::<T> {
        source: StatisticsSource::Running,
        mean: channels(mean),
        mean_low: zeros::<T>(&order),
        inv_std: zeros::<T>(&order),
        order,
    };
    let variance: Vec<T::Compute> = channels(variance);
    let cpu = Cpu::new();
    cpu.inverse_std(&variance[..], epsilon, &mut saved.inv_std[..])
        .unwrap_or_else(|error| panic!("{error}"));
    let (gamma, beta) = (channels(gamma), channels(beta));
    let write = |y: &mut [T]| {
        let x_to_y = InOut::Separate(values::<T>(&run), y);
        let with = saved.normalization(&gamma, &beta);
        cpu.normalize(
            &saved.order.shape,
            x_to_y,
            with,
            Epilogue::of(Activation::None),
        )
    };
    // SAFETY: as in `train`.
    let (y, done) = unsafe { written_by(saved.order.shape.len(), write) };
    done.unwrap_or_else(|error| panic!("{error}"));
    (saved.order.tensor(y), Arc::new(saved))
}

impl<T: Value> BackwardPass<Flex> for Saved<T> {
    fn backward(&self, x: FlexTensor, gamma: FlexTensor, dy: FlexTensor) -> Gradients<Flex> {
        let (x, dy) = (self.order.run_of(x), self.order.run_of(dy));
        let mut sums = (zeros::<T>(&self.order), zeros::<T>(&self.order));
        let (gamma_values, beta) = (channels(&gamma), zeros::<T>(&self.order));
        let write = |dx: &mut [T]| {
            let out = GradientSumsMut {
                gamma: &mut sums.0[..],
                beta: &mut sums.1[..],
            };
            let dy_to_dx = InOut::Separate(values::<T>(&dy), dx);
            let with = self.normalization(&gamma_values, &beta);
            let activation = ActivationBackward::of(Activation::None);
            let shape = &self.order.shape;
            Cpu::new().backward(
                shape,
                dy_to_dx,
                values::<T>(&x),
                with,
                self.source,
                activation,
                None,
                out,
            )
        };
        // SAFETY: a backward pass writes all of dx and reads none of it; where it returns an error, the next line panics before
        // anybody reads it.
        let (dx, done) = unsafe { written_by(self.order.shape.len(), write) };
        done.unwrap_or_else(|error| panic!("{error}"));
        Gradients {
            x: self.order.tensor(dx),
            gamma: channel_tensor(&sums.0, gamma.dtype()),
            beta: channel_tensor(&sums.1, gamma.dtype()),
        }
    }
}
