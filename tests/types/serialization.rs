//! Configurations in serde's formats.

use batchnorm::{Activation, Averaging, BatchNormConfig, Renormalization, RunningVariance};

#[test]
fn configurations_are_read_and_written() {
    let all = BatchNormConfig::new(8)
        .epsilon(1e-3)
        .averaging(Averaging::Cumulative)
        .running_variance(RunningVariance::Population)
        .beta(false)
        .activation(Activation::LeakyRelu { slope: 0.5 })
        .ghost_batch(4);
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(
        text,
        r#"{"channels":8,"epsilon":0.001,"averaging":"cumulative","running_variance":"population","gamma":true,"beta":false,"activation":{"leaky_relu":{"slope":0.5}},"ghost_batch":4,"keep_running_finite":false,"renormalization":null}"#
    );
    let read = |text: &str| serde_json::from_str::<BatchNormConfig>(text);
    assert_eq!(read(&text).unwrap(), all);
    assert_eq!(read(r#"{"channels":8}"#).unwrap(), BatchNormConfig::new(8));
    let limited = r#"{"channels":8,"renormalization":{"r_max":3.0,"d_max":5.0}}"#;
    let renormalized = BatchNormConfig::new(8).renormalization(Renormalization::new(3.0, 5.0));
    assert_eq!(read(limited).unwrap(), renormalized);
    let text = serde_json::to_string(&renormalized).unwrap();
    assert_eq!(read(&text).unwrap(), renormalized);
    let names = [
        (Activation::Relu6, r#""relu6""#),
        (Activation::Elu { alpha: 0.5 }, r#"{"elu":{"alpha":0.5}}"#),
        (Activation::Hardswish, r#""hardswish""#),
        (Activation::Sigmoid, r#""sigmoid""#),
        (Activation::Tanh, r#""tanh""#),
        (Activation::Gelu, r#""gelu""#),
        (Activation::GeluTanh, r#""gelu_tanh""#),
    ];
    for (activation, name) in names {
        assert_eq!(serde_json::to_string(&activation).unwrap(), name);
        assert_eq!(
            serde_json::from_str::<Activation>(name).unwrap(),
            activation
        );
    }
    for refused in ["{}", r#"{"channels":8,"eps":0.1}"#, r#"{"channels":-8}"#] {
        assert!(read(refused).is_err(), "{refused}");
    }
}
