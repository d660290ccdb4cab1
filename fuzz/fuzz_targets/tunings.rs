//! `BATCHNORM_PLAN` of any text: refused, or a plan that the device can launch and that leaves no value out.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use batchnorm::DType;
use batchnorm::gpu::Attributes;
use batchnorm::gpu::plan::{Pass, Tuning, View, fused};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = plans(&mut Unstructured::new(bytes));
});

fn plans(bytes: &mut Unstructured<'_>) -> Result<()> {
    let dtype = *bytes.choose(&[DType::F32, DType::F16, DType::BF16, DType::F64])?;
    let pass = *bytes.choose(&[Pass::Forward, Pass::Backward])?;
    let shape = batchnorm_fuzz::shape(bytes, usize::MAX >> 20)?;
    let device = Attributes {
        architecture: *bytes.choose(&[75, 80, 90, 120])?,
        multiprocessors: bytes.int_in_range(1..=264)?,
        shared_per_block: bytes.int_in_range(32 << 10..=227 << 10)?,
        shared_per_multiprocessor: bytes.int_in_range(64 << 10..=228 << 10)?,
        threads_per_multiprocessor: *bytes.choose(&[1024, 1536, 2048])?,
        l2_bytes: bytes.int_in_range(1 << 16..=100 << 20)?,
        cluster_blocks: *bytes.choose(&[1, 8, 16])?,
        cooperative: bool::arbitrary(bytes)?,
    };
    let Ok(tuning) = Tuning::parse(<&str>::arbitrary(bytes)?) else {
        return Ok(());
    };
    if shape.is_empty() {
        return Ok(());
    }
    let view = View::of(&shape, dtype);
    if let Some(plan) = fused(pass, &view, dtype, &device, &tuning) {
        let launch = plan.launch;
        assert!(launch.shared_bytes <= device.shared_per_block, "{plan:?}");
        assert!(launch.cluster <= device.cluster_blocks, "{plan:?}");
        assert!(device.cooperative || !launch.cooperative, "{plan:?}");
        assert!(launch.blocks > 0 && launch.blocks % launch.cluster == 0, "{plan:?}");
        assert!(plan.tile > 0 && plan.tiles > 0, "{plan:?}");
    }
    Ok(())
}
