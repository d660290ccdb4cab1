//! Bytes that are said to be a safetensors file: refused, and the layer is as it was; or loaded, and saved as they were loaded.

use crate::CPU;
use batchnorm::{BatchNorm, BatchNormConfig, Cpu, DType, checkpoint};

/// The target.
pub fn target(bytes: &[u8]) {
    let Ok(file) = checkpoint::parse(bytes) else {
        return;
    };
    let cpu = &*CPU;
    for prefix in ["", "bn"] {
        // The config has no more channels than the file has values.
        let config = match BatchNormConfig::from_tensors(&file, prefix) {
            Ok(config) => config,
            Err(_) => BatchNormConfig::new(2),
        };
        // A file can have arrays of no channels, which no layer has.
        let Ok(mut layer) = BatchNorm::<Cpu>::new(cpu, config) else {
            continue;
        };
        let saved = |layer: &BatchNorm<Cpu>| layer.to_bytes("bn", DType::F32);
        let before = saved(&layer).expect("a new layer");
        match layer.load_tensors(&file, prefix) {
            Err(_) => assert_eq!(saved(&layer).expect("as before"), before),
            // A count beyond what the format has is not saved.
            Ok(()) => {
                if let Ok(bytes) = saved(&layer) {
                    let mut again: BatchNorm<Cpu> = BatchNorm::new(cpu, config).expect("as before");
                    again.load_bytes(&bytes, "bn").expect("what was saved");
                    assert_eq!(saved(&again).expect("as loaded"), bytes);
                }
            }
        }
    }
}
