//! The layer, as burn has it.

use burn::backend::{Dispatch, DispatchTensorKind};
use burn::config::Config;
use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, Param, RunningState};
use burn::tensor::{Device, Tensor, assert_shape};

use crate::operation::FusedBatchNorm as _;

/// What a [`BatchNorm`] is made from; the fields of `burn::nn::BatchNormConfig`.
#[derive(Config, Debug)]
pub struct BatchNormConfig {
    /// C, the number of channels: above zero.
    pub num_features: usize,
    /// What is added to the variance: finite and above zero.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// The weight of a batch in the running statistics: 0 to 1.
    #[config(default = 0.1)]
    pub momentum: f64,
}

impl BatchNormConfig {
    /// A layer of γ = 1, β = 0, running mean 0 and running variance 1.
    ///
    /// # Panics
    /// As burn's own: if `num_features` is zero, `epsilon` not finite and positive, or `momentum` not within 0 to 1.
    pub fn init(&self, device: &Device) -> BatchNorm {
        let config = burn::nn::BatchNormConfig::new(self.num_features)
            .with_epsilon(self.epsilon)
            .with_momentum(self.momentum);
        config.init(device).into()
    }
}

/// Normalizes each channel of `(N, C, spatial...)`: `y = γ·(x − mean)/√(variance + ε) + β` (Ioffe & Szegedy 2015).
///
/// With autodiff, and unless it is frozen, mean and (biased) variance are the batch's, and the running ones follow with weight
/// `momentum`; else they are the running ones. The fields are those of `burn::nn::BatchNorm`, and so are its records.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct BatchNorm {
    /// γ (C,)
    pub gamma: Param<Tensor<1>>,
    /// β (C,)
    pub beta: Param<Tensor<1>>,
    /// Whether the batch's statistics are used where there is autodiff.
    pub training: Param<Flag>,
    /// The running mean (C,).
    pub running_mean: RunningState<Tensor<1>>,
    /// The running variance (C,).
    pub running_var: RunningState<Tensor<1>>,
    /// The weight of a batch in the running statistics.
    pub momentum: f64,
    /// ε
    pub epsilon: f64,
}

impl BatchNorm {
    /// y of x's shape, `(N, C, spatial...)`.
    ///
    /// # Panics
    /// As burn's own: if the rank is below 2 or the second axis is not C.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let [num_features] = self.gamma.shape().dims();
        assert_shape!(input, [_, num_features, ..]);
        // Whatever the device says: a part that is frozen stays on the device of the rest.
        if input.device().is_autodiff() && self.training.is_enabled() {
            self.normalize_with_batch(input)
        } else {
            self.normalize_with_running(input)
        }
    }

    fn normalize_with_running<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let device = input.device();
        let mean = self.running_mean.value().to_device(&device);
        let variance = self.running_var.value().to_device(&device);
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        if !is_fused(&input) {
            let epsilon = self.epsilon;
            return burn::tensor::module::batch_norm(input, gamma, beta, mean, variance, epsilon);
        }
        let [gamma, beta, mean, variance] =
            [gamma, beta, mean, variance].map(Tensor::into_dispatch);
        let x = input.into_dispatch();
        let y = Dispatch::normalize_with_running(x, gamma, beta, mean, variance, self.epsilon);
        Tensor::from_dispatch(y)
    }

    fn normalize_with_batch<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let (device, dims) = (input.device(), input.dims());
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        let per_channel = dims.iter().product::<usize>() / dims[1];
        let (output, mean, variance) = if per_channel > 1 && is_fused(&input) {
            let (x, gamma, beta) = (
                input.into_dispatch(),
                gamma.into_dispatch(),
                beta.into_dispatch(),
            );
            let trained = Dispatch::normalize_with_batch(x, gamma, beta, self.epsilon);
            (
                Tensor::from_dispatch(trained.output),
                Tensor::from_dispatch(trained.mean),
                Tensor::from_dispatch(trained.variance),
            )
        } else {
            let trained = burn::tensor::module::batch_norm_train(input, gamma, beta, self.epsilon);
            (trained.output, trained.mean, trained.variance)
        };
        self.follow(&self.running_mean, mean, &device);
        self.follow(&self.running_var, variance, &device);
        output
    }

    /// `running = (1 − momentum)·running + momentum·batch`.
    fn follow(&self, running: &RunningState<Tensor<1>>, batch: Tensor<1>, device: &Device) {
        let before = running.value_sync().to_device(device);
        let kept = before.mul_scalar(1.0 - self.momentum);
        let after = kept.add(batch.detach().mul_scalar(self.momentum));
        running.update(after.detach());
    }
}

/// Whether a tensor is of the backend that has both passes.
fn is_fused<const D: usize>(tensor: &Tensor<D>) -> bool {
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Autodiff(kind) => matches!(*kind, DispatchTensorKind::Flex(_)),
        kind => matches!(kind, DispatchTensorKind::Flex(_)),
    }
}

macro_rules! same_fields {
    ($from:path, $to:path) => {
        impl From<$from> for $to {
            fn from(layer: $from) -> Self {
                Self {
                    gamma: layer.gamma,
                    beta: layer.beta,
                    training: layer.training,
                    running_mean: layer.running_mean,
                    running_var: layer.running_var,
                    momentum: layer.momentum,
                    epsilon: layer.epsilon,
                }
            }
        }
    };
}
same_fields!(burn::nn::BatchNorm, BatchNorm);
same_fields!(BatchNorm, burn::nn::BatchNorm);

impl ModuleDisplay for BatchNorm {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new()
            .with_new_line_after_attribute(false)
            .optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let [num_features] = self.beta.shape().dims();
        let content = content
            .add("num_features", &num_features)
            .add("momentum", &self.momentum)
            .add("epsilon", &self.epsilon);
        if self.training.is_enabled() {
            content.optional()
        } else {
            content.add("training", &self.training).optional()
        }
    }
}
