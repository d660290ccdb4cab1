//! What a case's metadata says. A key that is left out means PyTorch's default.

use std::collections::HashMap;

use batchnorm::{Activation, Averaging, Layout};

use super::Result;

/// Which forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Training,
    Inference,
    Frozen,
}

/// The settings of a case.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) pass: Kind,
    pub(crate) layout: Layout,
    pub(crate) epsilon: f64,
    /// If there are running statistics.
    pub(crate) averaging: Averaging,
    pub(crate) batches_tracked: u64,
    pub(crate) activation: Activation,
}

impl Settings {
    /// Reads the keys it knows; others are whatever the recorder noted for itself.
    pub(crate) fn read(metadata: &HashMap<String, String>) -> Result<Self> {
        let or = |key: &str, default: &'static str| match metadata.get(key) {
            Some(value) => value.clone(),
            None => default.to_owned(),
        };
        Ok(Self {
            pass: match &*or("pass", "training") {
                "training" => Kind::Training,
                "inference" => Kind::Inference,
                "frozen" => Kind::Frozen,
                other => return Err(refused("pass", other, "training, inference or frozen")),
            },
            layout: match &*or("layout", "channels_first") {
                "channels_first" => Layout::ChannelsFirst,
                "channels_last" => Layout::ChannelsLast,
                other => return Err(refused("layout", other, "channels_first or channels_last")),
            },
            epsilon: number("epsilon", &or("epsilon", "1e-5"), "a number")?,
            averaging: match &*or("momentum", "0.1") {
                "cumulative" => Averaging::Cumulative,
                momentum => Averaging::Exponential {
                    momentum: number("momentum", momentum, "a number or cumulative")?,
                },
            },
            batches_tracked: number(
                "num_batches_tracked",
                &or("num_batches_tracked", "0"),
                "a whole number from 0",
            )?,
            activation: activation(
                &or("activation", "none"),
                &or("negative_slope", "0.01"),
                &or("alpha", "1.0"),
            )?,
        })
    }
}

/// Slope and alpha are of use to one activation only, and must be numbers all the same.
fn activation(name: &str, negative_slope: &str, alpha: &str) -> Result<Activation> {
    let slope = number("negative_slope", negative_slope, "a number")?;
    let alpha = number("alpha", alpha, "a number")?;
    match name {
        "none" => Ok(Activation::None),
        "relu" => Ok(Activation::Relu),
        "leaky_relu" => Ok(Activation::LeakyRelu { slope }),
        "silu" => Ok(Activation::Silu),
        "relu6" => Ok(Activation::Relu6),
        "elu" => Ok(Activation::Elu { alpha }),
        "hardswish" => Ok(Activation::Hardswish),
        "sigmoid" => Ok(Activation::Sigmoid),
        "tanh" => Ok(Activation::Tanh),
        "gelu" => Ok(Activation::Gelu),
        "gelu_tanh" => Ok(Activation::GeluTanh),
        other => Err(refused(
            "activation",
            other,
            "none, relu, relu6, leaky_relu, elu, hardswish, sigmoid, tanh, silu, gelu or gelu_tanh",
        )),
    }
}

fn number<N: std::str::FromStr>(key: &str, found: &str, needed: &str) -> Result<N> {
    found.parse().map_err(|_| refused(key, found, needed))
}

fn refused(key: &str, found: &str, needed: &str) -> Box<dyn std::error::Error> {
    format!("metadata {key:?} is {found:?}, needed is {needed}").into()
}
