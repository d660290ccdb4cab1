//! Every golden case (README.md) goes through the code of the `replay` example and must give what PyTorch
//! gave, on every SIMD level of this machine and on its GPU. bounds.rs says how near, and why.

mod bounds;
mod compare;
mod file;

#[cfg(feature = "cuda")]
use std::io::Write;

use batchnorm::{Averaging, BatchNorm, BatchNormConfig, Cpu, Device, Level, Shape, Tensor};
use bounds::bound;
use compare::Findings;
use file::{Golden, GoldenFile, bytes_of, names};
use replay_cases::case;
use replay_cases::case::tensors::Stored;
use safetensors::Dtype;

/// WebAssembly has none but the caller's.
const THREADS: &[usize] = if cfg!(target_family = "wasm") {
    &[1]
} else {
    &[1, 3]
};

/// Every SIMD level, on one thread and on three; and GPU 0, or the word that there is none.
fn devices() -> Vec<Device> {
    let mut devices = Vec::new();
    for level in Level::available() {
        for &threads in THREADS {
            let cpu = Cpu::with_threads(threads).unwrap().at_level(level).unwrap();
            devices.push(cpu.into());
        }
    }
    #[cfg(feature = "cuda")]
    match Device::cuda(0) {
        Ok(gpu) => devices.push(gpu),
        // Past the test harness, which keeps what a passing test prints to itself.
        Err(error) => {
            writeln!(std::io::stderr(), "skipped on a GPU: {error}").expect("standard error");
        }
    }
    devices
}

#[test]
fn every_case_gives_what_pytorch_gave() {
    let names = names();
    assert!(names.len() >= 99, "only {} cases were found", names.len());
    let mut findings = Findings::default();
    let mut failures = Vec::new();
    for device in devices() {
        for name in &names {
            let case = bytes_of("cases", name);
            let ours = match case::replay(&case, &device) {
                Ok(ours) => GoldenFile::parse(&ours),
                Err(error) => {
                    failures.push(format!("{device}: {name}: {error}"));
                    continue;
                }
            };
            let case = GoldenFile::parse(&case);
            let expected = GoldenFile::parse(&bytes_of("expected", name));
            if let Err(failure) = findings.compare_all(&device, name, &case, &expected, &ours) {
                failures.push(format!("{device}: {failure}"));
            }
        }
    }
    for (tensor, (share, error, place)) in &findings.largest {
        println!("{tensor}: at most {share:.3} of the bound ({error:.2e}, in {place})");
    }
    let Findings {
        halves,
        equal_halves,
        ..
    } = findings;
    println!("{equal_halves} of {halves} halves have PyTorch's bits");
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(
        halves > 0 && halves - equal_halves <= halves / 1000,
        "only {equal_halves} of {halves} halves have PyTorch's bits"
    );
}

/// One value of one tensor, moved by twice its bound, or by two steps of a half, is found.
#[test]
fn a_wrong_value_is_found() {
    let device = Device::from(Cpu::new());
    for name in [
        "train_f32_4d",
        "train_f64_4d_last",
        "train_bf16_4d",
        "residual_relu_train_f16",
    ] {
        let case = GoldenFile::parse(&bytes_of("cases", name));
        let expected = GoldenFile::parse(&bytes_of("expected", name));
        for tensor in expected.tensors.keys() {
            let mut wrong = GoldenFile::parse(&bytes_of("expected", name));
            let moved = wrong.tensors.get_mut(tensor).unwrap();
            match moved.dtype {
                Dtype::F16 | Dtype::BF16 => moved.bytes[0] ^= 0b10,
                Dtype::I64 => moved.bytes[0] += 1,
                _ => moved.values[0] += 2.0 * bound(&device, name, tensor, &case, &expected),
            }
            let found = Findings::default().compare_all(&device, name, &case, &expected, &wrong);
            assert!(found.is_err(), "{name}: a wrong {tensor} was not found");
        }
    }
}

/// One layer that goes through three batches, each step carrying what the one before left.
#[test]
fn three_steps_of_one_layer_follow_pytorch() {
    for (prefix, averaging) in [
        ("three_steps", Averaging::Exponential { momentum: 0.1 }),
        ("three_steps_cumulative", Averaging::Cumulative),
    ] {
        for device in devices() {
            three_steps(prefix, averaging, &device).unwrap();
        }
    }
}

fn three_steps(
    prefix: &str,
    averaging: Averaging,
    device: &Device,
) -> Result<(), Box<dyn std::error::Error>> {
    let first = GoldenFile::parse(&bytes_of("cases", &format!("{prefix}_1")));
    let floats = |tensor: &Golden| f32::from_bytes(&tensor.bytes);
    let config = BatchNormConfig::new(5).averaging(averaging);
    let mut layer = BatchNorm::<_, f32>::new(device, config)?;
    layer
        .gamma_mut()
        .ok_or("no gamma")?
        .set(&floats(&first.tensors["weight"]))?;
    layer
        .beta_mut()
        .ok_or("no beta")?
        .set(&floats(&first.tensors["bias"]))?;
    for step in 1..=3_u8 {
        let name = format!("{prefix}_{step}");
        let case = GoldenFile::parse(&bytes_of("cases", &name));
        let expected = GoldenFile::parse(&bytes_of("expected", &name));
        let x = &case.tensors["x"];
        let x = Tensor::new(device, Shape::channels_first(&x.dims)?, &floats(x))?;
        let (y, _) = layer.forward_training(&x)?;
        let running = layer.running().ok_or("no running statistics")?;
        assert_eq!(running.num_batches_tracked(), u64::from(step));
        for (tensor, ours) in [
            ("y", y.to_vec()?),
            ("running_mean", running.mean().to_vec()?),
            ("running_var", running.variance().to_vec()?),
        ] {
            let theirs = &expected.tensors[tensor];
            let ours = Golden {
                dtype: Dtype::F32,
                dims: theirs.dims.clone(),
                bytes: f32::to_bytes(&ours),
                values: ours.iter().copied().map(f64::from).collect(),
            };
            assert_eq!(ours.values.len(), theirs.values.len());
            // The errors of the steps before are carried too.
            let bound = f64::from(step) * bound(device, &name, tensor, &case, &expected);
            Findings::default().compare(&format!("{name} {tensor}"), theirs, &ours, bound)?;
        }
    }
    Ok(())
}
