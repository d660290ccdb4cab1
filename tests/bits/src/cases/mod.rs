//! The cases, and their checksums on whatever backend: nothing here knows which.

mod checksum;
mod from_output;
mod inputs;
mod kept;
mod layer;
mod quantized;
mod random;
mod second_derivatives;
mod steps;

use batchnorm::backend::Backend;
use batchnorm::{Activation, Element, Layout, Shape};
use half::{bf16, f16};
use inputs::{Data, Inputs};
use layer::{Pass, Setting};

/// The name of each case and the checksum of its results, in the order of the cases.
pub type Checksums = Vec<(String, u64)>;

/// Which shapes are computed, chosen by how a backend cuts them.
pub struct Scope {
    /// In every pass, with every epilogue, with and without ghost batches.
    pub in_every_pass: fn() -> Vec<Shape>,
    /// In enough passes to see how they are cut; for values of so many bytes.
    pub in_some_passes: fn(usize) -> Vec<Shape>,
    /// With data that is rare.
    pub with_unusual_data: fn() -> Vec<Shape>,
    /// In the steps of the contract, one by one, in second derivatives, in passes that keep y, and to bytes.
    pub in_separate_steps: fn() -> Vec<Shape>,
}

/// Computes every case.
pub fn checksums<B: Backend>(backend: &B, scope: &Scope) -> Checksums {
    let mut checksums = vec![];
    of_type::<f32, B>(backend, scope, &mut checksums);
    of_type::<f16, B>(backend, scope, &mut checksums);
    of_type::<bf16, B>(backend, scope, &mut checksums);
    of_type::<f64, B>(backend, scope, &mut checksums);
    more_activations::<f32, B>(backend, scope, &mut checksums);
    more_activations::<f16, B>(backend, scope, &mut checksums);
    more_activations::<bf16, B>(backend, scope, &mut checksums);
    more_activations::<f64, B>(backend, scope, &mut checksums);
    second_derivatives::<f32, B>(backend, scope, &mut checksums);
    second_derivatives::<f16, B>(backend, scope, &mut checksums);
    second_derivatives::<bf16, B>(backend, scope, &mut checksums);
    second_derivatives::<f64, B>(backend, scope, &mut checksums);
    from_output::<f32, B>(backend, scope, &mut checksums);
    from_output::<f16, B>(backend, scope, &mut checksums);
    from_output::<bf16, B>(backend, scope, &mut checksums);
    from_output::<f64, B>(backend, scope, &mut checksums);
    quantized::<f32, B>(backend, scope, &mut checksums);
    quantized::<f16, B>(backend, scope, &mut checksums);
    quantized::<bf16, B>(backend, scope, &mut checksums);
    quantized::<f64, B>(backend, scope, &mut checksums);
    kept_in_part::<f32, B>(backend, scope, &mut checksums);
    kept_in_part::<f16, B>(backend, scope, &mut checksums);
    kept_in_part::<bf16, B>(backend, scope, &mut checksums);
    kept_in_part::<f64, B>(backend, scope, &mut checksums);
    checksums
}

fn of_type<T: Element, B: Backend>(backend: &B, scope: &Scope, checksums: &mut Checksums) {
    let mut run = |shape: Shape, data: Data, settings: &[Setting]| {
        let inputs = Inputs::<T>::of(shape, data);
        for setting in settings {
            let case = format!("{}/{data}/{setting}", name::<T>(&shape));
            checksums.push((case, layer::checksum(backend, &inputs, *setting)));
        }
    };
    for shape in (scope.in_every_pass)() {
        run(shape, Data::Ordinary, &every_setting());
    }
    for shape in (scope.in_some_passes)(size_of::<T>()) {
        run(shape, Data::Ordinary, &some_settings());
    }
    for shape in (scope.with_unusual_data)() {
        for data in Data::UNUSUAL {
            run(shape, data, &some_settings());
        }
    }
    for shape in (scope.in_separate_steps)() {
        let inputs = Inputs::<T>::of(shape, Data::Ordinary);
        for (step, checksum) in steps::checksums(backend, &inputs) {
            checksums.push((format!("{}/step/{step}", name::<T>(&shape)), checksum));
        }
    }
}

/// The other activations, on few shapes: they go the way of SiLU, or of ReLU, through every shape.
fn more_activations<T: Element, B: Backend>(backend: &B, scope: &Scope, checksums: &mut Checksums) {
    for shape in (scope.with_unusual_data)() {
        let inputs = Inputs::<T>::of(shape, Data::Ordinary);
        for activation in on_fewer_shapes() {
            for pass in [Pass::Training, Pass::Frozen, Pass::Inference] {
                for residual in [false, true] {
                    let setting = Setting {
                        pass,
                        activation,
                        residual,
                        ghost_batches: false,
                    };
                    let case = format!("{}/{}/{setting}", name::<T>(&shape), Data::Ordinary);
                    checksums.push((case, layer::checksum(backend, &inputs, setting)));
                }
            }
        }
    }
}

/// None on a GPU, which has no kernel for them yet.
fn second_derivatives<T: Element, B: Backend>(
    backend: &B,
    scope: &Scope,
    checksums: &mut Checksums,
) {
    for shape in (scope.in_separate_steps)() {
        let inputs = Inputs::<T>::of(shape, Data::Ordinary);
        for (case, checksum) in second_derivatives::checksums(backend, &inputs) {
            let case = format!("{}/second-derivatives/{case}", name::<T>(&shape));
            checksums.push((case, checksum));
        }
    }
}

/// None on a GPU, which has no kernel for them yet.
fn from_output<T: Element, B: Backend>(backend: &B, scope: &Scope, checksums: &mut Checksums) {
    for shape in (scope.in_separate_steps)() {
        let inputs = Inputs::<T>::of(shape, Data::Ordinary);
        for (case, checksum) in from_output::checksums(backend, &inputs) {
            checksums.push((format!("{}/from-y/{case}", name::<T>(&shape)), checksum));
        }
    }
}

/// None on a GPU, which has no kernel for it yet.
fn quantized<T: Element, B: Backend>(backend: &B, scope: &Scope, checksums: &mut Checksums) {
    for shape in (scope.in_separate_steps)() {
        let inputs = Inputs::<T>::of(shape, Data::Ordinary);
        for (case, checksum) in quantized::checksums(backend, &inputs) {
            let case = format!("{}/quantized/{case}", name::<T>(&shape));
            checksums.push((case, checksum));
        }
    }
}

/// None on a GPU, which has no kernels for them yet.
fn kept_in_part<T: Element, B: Backend>(backend: &B, scope: &Scope, checksums: &mut Checksums) {
    for shape in (scope.in_separate_steps)() {
        let inputs = Inputs::<T>::of(shape, Data::Ordinary);
        for (case, checksum) in kept::checksums(backend, &inputs) {
            let case = format!("{}/kept/{case}", name::<T>(&shape));
            checksums.push((case, checksum));
        }
    }
}

/// Activations on every shape that takes every pass.
const ACTIVATIONS: [Activation; 4] = [
    Activation::None,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::Silu,
];

/// All the others.
fn on_fewer_shapes() -> impl Iterator<Item = Activation> {
    Activation::all(0.1, 0.7).filter(|activation| !ACTIVATIONS.contains(activation))
}

fn every_setting() -> Vec<Setting> {
    let mut settings = vec![];
    for pass in [
        Pass::Training,
        Pass::Deferred,
        Pass::Frozen,
        Pass::Inference,
    ] {
        for ghost_batches in [false, true] {
            // Passes with running statistics know no groups.
            if ghost_batches && matches!(pass, Pass::Frozen | Pass::Inference) {
                continue;
            }
            for activation in ACTIVATIONS {
                // Groups and the time at which statistics follow do not depend on the activation.
                let is_rare = !matches!(activation, Activation::None | Activation::Relu);
                if is_rare && (ghost_batches || pass == Pass::Deferred) {
                    continue;
                }
                for residual in [false, true] {
                    settings.push(Setting {
                        pass,
                        activation,
                        residual,
                        ghost_batches,
                    });
                }
            }
        }
    }
    settings
}

fn some_settings() -> Vec<Setting> {
    let plain = Setting {
        pass: Pass::Training,
        activation: Activation::None,
        residual: false,
        ghost_batches: false,
    };
    vec![
        plain,
        Setting {
            activation: Activation::Relu,
            residual: true,
            ..plain
        },
        Setting {
            pass: Pass::Frozen,
            activation: Activation::Relu,
            ..plain
        },
        Setting {
            pass: Pass::Inference,
            residual: true,
            ..plain
        },
    ]
}

/// A type and a shape, such as `f32/first/2x3x7x7`.
fn name<T: Element>(shape: &Shape) -> String {
    let layout = match shape.layout() {
        Layout::ChannelsFirst => "first",
        Layout::ChannelsLast => "last",
    };
    let dims: Vec<String> = shape.dims().iter().map(ToString::to_string).collect();
    format!("{}/{layout}/{}", T::DTYPE, dims.join("x"))
}
