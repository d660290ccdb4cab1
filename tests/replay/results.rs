//! What is in a result, and what changes nothing in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use batchnorm::{Activation, Element};
use half::f16;
use safetensors::{Dtype, SafeTensors};
use tempfile::tempdir;

use crate::case_file::{CaseFile, floats, unaligned};
use crate::program::{replay, text};
use crate::{DIMS, folder, names_in, set};

fn tensors_in(file: &Path) -> BTreeSet<String> {
    let bytes = fs::read(file).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.names().into_iter().map(str::to_owned).collect()
}

/// The values of a tensor of f32.
fn values(file: &Path, name: &str) -> Vec<f32> {
    let bytes = fs::read(file).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (values, _) = file.tensor(name).unwrap().data().as_chunks();
    values
        .iter()
        .map(|value| f32::from_le_bytes(*value))
        .collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let large = CaseFile::complete(&[16, 24, 30, 31]).saying("activation", "relu");
    let input = folder(&[
        ("first.safetensors", large.to_bytes()),
        (
            "frozen.safetensors",
            large.clone().saying("pass", "frozen").to_bytes(),
        ),
        (
            "last.safetensors",
            CaseFile::of_x(&[4000, 70])
                .saying("layout", "channels_last")
                .to_bytes(),
        ),
    ]);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cases");
    for input in [input.path(), &golden] {
        if !input.is_dir() {
            println!("skipped: there are no golden cases in a published crate");
            continue;
        }
        let outputs = [tempdir().unwrap(), tempdir().unwrap()];
        for (output, threads) in outputs.iter().zip(["1", "3"]) {
            let result = replay(input, &output.path().join("new"), &["--threads", threads]);
            assert_eq!(result.status.code(), Some(0), "{}", text(&result.stderr));
            assert!(result.stderr.is_empty(), "{}", text(&result.stderr));
        }
        let [one, three] = outputs.each_ref().map(|output| output.path().join("new"));
        assert_eq!(names_in(&one), names_in(input));
        assert_eq!(names_in(&three), names_in(input));
        for name in names_in(input) {
            let same = fs::read(one.join(&name)).unwrap() == fs::read(three.join(&name)).unwrap();
            assert!(same, "{name} depends on the number of threads");
        }
    }
}

/// y is that of the case without an activation, activated; dx is that of such a case whose dy is dy·f'(v).
#[test]
fn every_activation_is_taken() {
    let dims: [usize; 3] = [8, 3, 5];
    let plain = CaseFile::of_x(&dims).with_floats("dy", &dims);
    let (slope, alpha) = (Some(("negative_slope", "-0.25")), Some(("alpha", "0.5")));
    for (name, parameter, activation) in [
        ("relu", None, Activation::Relu),
        ("relu6", None, Activation::Relu6),
        ("leaky_relu", None, Activation::LeakyRelu { slope: 0.01 }),
        ("leaky_relu", slope, Activation::LeakyRelu { slope: -0.25 }),
        ("elu", None, Activation::Elu { alpha: 1.0 }),
        ("elu", alpha, Activation::Elu { alpha: 0.5 }),
        ("hardswish", None, Activation::Hardswish),
        ("sigmoid", None, Activation::Sigmoid),
        ("tanh", alpha, Activation::Tanh),
        ("silu", slope, Activation::Silu),
        ("gelu", None, Activation::Gelu),
        ("gelu_tanh", None, Activation::GeluTanh),
    ] {
        let mut activated = plain.clone().saying("activation", name);
        if let Some((key, value)) = parameter {
            activated = activated.saying(key, value);
        }
        let replayed = |case: &CaseFile, tensor: &str| {
            let (input, output) = (folder(&[("a.safetensors", case.to_bytes())]), folder(&[]));
            let result = replay(input.path(), output.path(), &[]);
            assert_eq!(result.status.code(), Some(0), "{}", text(&result.stderr));
            values(&output.path().join("a.safetensors"), tensor)
        };
        let v = replayed(&plain, "y");
        assert!(v.iter().any(|v| *v < 0.0) && v.iter().any(|v| *v > 0.0));
        let dv: Vec<u8> = floats("dy", v.len())
            .iter()
            .zip(&v)
            .flat_map(|(dy, v)| {
                (dy * f32::from_f64(activation.derivative(f64::from(*v)))).to_le_bytes()
            })
            .collect();
        let y: Vec<f32> = v
            .iter()
            .map(|v| f32::from_f64(activation.forward(f64::from(*v))))
            .collect();
        assert_near(&replayed(&activated, "y"), &y);
        let of_dv = plain.clone().with("dy", Dtype::F32, &dims, dv);
        assert_near(&replayed(&activated, "dx"), &replayed(&of_dv, "dx"));
    }
}

fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }
}

/// What is in a result follows from what is in the case.
#[test]
fn a_result_has_what_the_case_asks_for() {
    let folder = tempdir().unwrap();
    let tensors_of = |case: &CaseFile| {
        let (input, output) = (folder.path().join("in"), folder.path().join("out"));
        fs::write(&input, case.to_bytes()).unwrap();
        let result = replay(&input, &output, &[]);
        assert!(result.status.success(), "{}", text(&result.stderr));
        tensors_in(&output)
    };
    let always = ["y", "save_mean", "save_invstd"];
    let x = CaseFile::of_x(&DIMS).saying("recorded_by", "a key of the recorder's own");
    assert_eq!(tensors_of(&x), set(always));
    assert_eq!(
        tensors_of(&x.clone().saying("pass", "inference")),
        set(always)
    );
    let bias = x.with_floats("bias", &[3]).with_floats("dy", &DIMS);
    assert_eq!(
        tensors_of(&bias),
        set(["y", "save_mean", "save_invstd", "dx", "dbias"])
    );
    let complete = tensors_of(&CaseFile::complete(&DIMS));
    let tracked = ["running_mean", "running_var", "num_batches_tracked"];
    let gradients = ["dx", "dresidual", "dweight", "dbias"];
    assert_eq!(complete, &(&set(always) | &set(tracked)) | &set(gradients));
}

#[test]
fn neither_alignment_nor_the_type_of_parameters_changes_the_result() {
    let weight: Vec<f16> = [0.5, 1.25, -2.0].map(f16::from_f64).to_vec();
    let half = weight
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let single = weight
        .iter()
        .flat_map(|value| value.to_f32().to_le_bytes())
        .collect();
    let double = weight
        .iter()
        .flat_map(|value| value.to_f64().to_le_bytes())
        .collect();
    let case = CaseFile::complete(&DIMS);
    let single = case
        .clone()
        .with("weight", Dtype::F32, &[3], single)
        .to_bytes();
    let input = folder(&[
        (
            "half.safetensors",
            case.clone()
                .with("weight", Dtype::F16, &[3], half)
                .to_bytes(),
        ),
        (
            "double.safetensors",
            case.with("weight", Dtype::F64, &[3], double).to_bytes(),
        ),
        ("unaligned.safetensors", unaligned(&single)),
        ("single.safetensors", single),
    ]);
    let output = tempdir().unwrap();
    let result = replay(input.path(), output.path(), &[]);
    assert!(result.status.success(), "{}", text(&result.stderr));
    let read = |name: &str| fs::read(output.path().join(name)).unwrap();
    for name in [
        "half.safetensors",
        "double.safetensors",
        "unaligned.safetensors",
    ] {
        assert!(read(name) == read("single.safetensors"), "{name} differs");
    }
}
