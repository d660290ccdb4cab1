//! The command line of the `replay` example.

mod bad_cases;
mod case_file;
mod program;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bad_cases::bad_cases;
use batchnorm::{Activation, Element};
use case_file::{CaseFile, floats, unaligned};
use half::f16;
use program::{replay, text};
use safetensors::{Dtype, SafeTensors};
use tempfile::{TempDir, tempdir};

/// Of the cases made up here.
const DIMS: [usize; 3] = [4, 3, 5];

/// A folder with these files.
fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// The names of everything in a folder, hidden files too.
fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

fn tensors_in(file: &Path) -> BTreeSet<String> {
    let bytes = fs::read(file).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.names().into_iter().map(str::to_owned).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn bad_cases_are_refused_one_by_one_and_the_good_ones_go_on() {
    let bad = bad_cases();
    let good = CaseFile::complete(&DIMS).to_bytes();
    let mut files: Vec<(String, Vec<u8>)> = bad
        .iter()
        .map(|(name, bytes, _)| (format!("{name}.safetensors"), bytes.clone()))
        .collect();
    files.push(("a_good.safetensors".to_owned(), good.clone()));
    files.push(("z_good.safetensors".to_owned(), good));
    files.push(("notes.txt".to_owned(), b"no case".to_vec()));
    let files: Vec<(&str, Vec<u8>)> = files
        .iter()
        .map(|(name, bytes)| (&**name, bytes.clone()))
        .collect();
    let (input, output) = (folder(&files), tempdir().unwrap());
    fs::create_dir(input.path().join("a_folder.safetensors")).unwrap();

    let result = replay(input.path(), output.path(), &[]);
    assert_eq!(result.status.code(), Some(2));
    let errors = text(&result.stderr);
    let mut expected: Vec<(&str, &str)> =
        bad.iter().map(|(name, _, says)| (*name, *says)).collect();
    expected.push(("a_folder", "cannot be read"));
    expected.sort_unstable();
    for (name, says) in &expected {
        let start = format!("{name}.safetensors: ");
        let lines: Vec<&str> = errors
            .lines()
            .filter(|line| line.starts_with(&start))
            .collect();
        assert_eq!(lines.len(), 1, "lines about {name} in\n{errors}");
        assert!(
            lines[0].contains(says),
            "{:?} does not say {says:?}",
            lines[0]
        );
    }
    assert_eq!(errors.lines().count(), expected.len(), "{errors}");
    let good = ["a_good.safetensors", "z_good.safetensors"];
    assert_eq!(names_in(output.path()), set(good));
    let said = text(&result.stdout);
    let starts: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(starts, good);
}

#[test]
fn a_device_that_is_not_there_fails_every_case() {
    let good = CaseFile::complete(&DIMS).to_bytes();
    let input = folder(&[("a.safetensors", good.clone()), ("b.safetensors", good)]);
    for (device, says) in [("cuda", "cuda"), ("simt", "this build has no SIMT host")] {
        let output = tempdir().unwrap();
        let result = replay(input.path(), output.path(), &["--device", device]);
        if device == "cuda" && result.status.success() {
            println!("skipped: this machine has a CUDA device");
            continue;
        }
        assert_eq!(result.status.code(), Some(2));
        let errors = text(&result.stderr);
        let lines: Vec<&str> = errors.lines().collect();
        assert_eq!(lines.len(), 2, "{errors}");
        for (line, name) in lines.iter().zip(["a", "b"]) {
            assert!(
                line.starts_with(&format!("{name}.safetensors: ")) && line.contains(says),
                "{line}"
            );
        }
        assert!(names_in(output.path()).is_empty());
    }
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

#[test]
fn no_threads_no_input_and_no_cases_are_errors() {
    let input = folder(&[("a.safetensors", CaseFile::of_x(&DIMS).to_bytes())]);
    let empty = tempdir().unwrap();
    let output = tempdir().unwrap();
    let refused = |input: &Path, options: &[&str], start: &str| {
        let result = replay(input, &output.path().join("out"), options);
        let errors = text(&result.stderr);
        assert_eq!(result.status.code(), Some(2), "{errors}");
        assert!(
            errors.starts_with(start) && errors.lines().count() == 1,
            "{errors}"
        );
    };
    refused(input.path(), &["--threads", "0"], "a.safetensors: ");
    refused(
        &empty.path().join("absent.safetensors"),
        &[],
        "absent.safetensors: ",
    );
    let name = empty
        .path()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    refused(empty.path(), &[], &format!("{name}: "));
}

#[test]
fn a_case_is_not_overwritten_by_its_result() {
    let case = CaseFile::of_x(&DIMS).to_bytes();
    let cases = folder(&[("a.safetensors", case.clone())]);
    let file = cases.path().join("a.safetensors");
    for path in [cases.path(), &file] {
        let result = replay(path, path, &[]);
        assert_eq!(result.status.code(), Some(2));
        assert_eq!(text(&result.stderr).lines().count(), 1);
        assert_eq!(fs::read(&file).unwrap(), case);
    }
}

#[test]
fn a_result_that_cannot_be_written_leaves_nothing() {
    let input = folder(&[("a.safetensors", CaseFile::of_x(&DIMS).to_bytes())]);
    let output = folder(&[]);
    fs::create_dir(output.path().join("a.safetensors")).unwrap();
    let result = replay(input.path(), output.path(), &[]);
    let errors = text(&result.stderr);
    assert_eq!(result.status.code(), Some(2), "{errors}");
    assert!(
        errors.starts_with("a.safetensors: ") && errors.lines().count() == 1,
        "{errors}"
    );
    assert_eq!(names_in(output.path()), set(["a.safetensors"]));
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
