//! What is printed: no values, and a layer's settings.

use batchnorm::{
    Activation, Averaging, BatchNorm, BatchNormConfig, Cpu, PooledStatistics, RunningVariance,
};

use crate::trained;

#[test]
fn debug_prints_shapes_and_no_values() {
    let (mut layer, x) = trained();
    assert_eq!(format!("{x:?}"), "Tensor(f32 [3, 2] channels first)");
    let beta = layer.beta().unwrap();
    assert_eq!(format!("{beta:?}"), "ChannelArray(f32 [2])");
    let (_, pass) = layer.forward_training(&x).unwrap();
    assert_eq!(
        format!("{pass:?}"),
        "Pass(f32 [3, 2] channels first, 1 group)"
    );
    let gradients = pass.backward(&x).unwrap();
    let said = format!("{layer:?} {gradients:?} {:?}", PooledStatistics::new(2));
    assert!(said.contains("PooledStatistics(2 channels of 0 values)"));
    for value in ["7.0", "6.0", "1.0"] {
        assert!(!said.contains(value), "{said}");
    }
}

#[test]
fn a_layer_is_displayed_as_its_settings() {
    let shown = |config| {
        BatchNorm::new(&Cpu::new(), config)
            .map(|layer| layer.to_string())
            .unwrap()
    };
    let plain = BatchNormConfig::new(64);
    assert_eq!(shown(plain), "BatchNorm(64, epsilon=1e-5, momentum=0.1)");
    let all = plain
        .epsilon(1e-3)
        .running_variance(RunningVariance::Population)
        .without_affine()
        .ghost_batch(16)
        .keep_running_finite(true)
        .activation(Activation::LeakyRelu { slope: 0.01 });
    assert_eq!(
        shown(all),
        "BatchNorm(64, epsilon=1e-3, momentum=0.1, running_variance=population, gamma=false, beta=false, \
         ghost_batch=16, keep_running_finite=true, leaky_relu(slope=0.01))"
    );
    let off = plain.averaging(Averaging::Off).activation(Activation::Silu);
    assert_eq!(
        shown(off),
        "BatchNorm(64, epsilon=1e-5, no running statistics, silu)"
    );
    let ends = [
        (Activation::Relu6, "relu6"),
        (Activation::Elu { alpha: 1.5 }, "elu(alpha=1.5)"),
        (Activation::Hardswish, "hardswish"),
        (Activation::Sigmoid, "sigmoid"),
        (Activation::Tanh, "tanh"),
        (Activation::Gelu, "gelu"),
        (Activation::GeluTanh, "gelu_tanh"),
    ];
    for (activation, end) in ends {
        let shown = shown(plain.activation(activation));
        assert!(shown.ends_with(&format!(", {end})")), "{shown}");
    }
}
