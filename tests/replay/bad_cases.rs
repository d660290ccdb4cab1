//! Cases that no replay may accept.

use safetensors::Dtype;

use crate::DIMS;
use crate::case_file::{CaseFile, only_header};

/// Name, file, and what the message must say.
pub(crate) type BadCase = (&'static str, Vec<u8>, &'static str);

pub(crate) fn bad_cases() -> Vec<BadCase> {
    let mut cases = bad_files();
    cases.extend(bad_tensors().map(|(name, case, says)| (name, case.to_bytes(), says)));
    cases.extend(bad_settings().map(|(name, key, value, says)| {
        let case = CaseFile::complete(&DIMS).saying(key, value);
        (name, case.to_bytes(), says)
    }));
    cases
}

fn bad_files() -> Vec<BadCase> {
    let mut truncated = CaseFile::complete(&DIMS).to_bytes();
    truncated.truncate(truncated.len() - 8);
    let x_of = |shape: &str| {
        let x = format!(r#"{{"x":{{"dtype":"F32","shape":{shape},"data_offsets":[0,0]}}}}"#);
        only_header(&x)
    };
    let max = usize::MAX;
    vec![
        ("truncated", truncated, "readable"),
        ("no_bytes", Vec::new(), "readable"),
        ("text", b"x = 1, y = 2, z = 3\n".to_vec(), "readable"),
        ("no_x", only_header("{}"), r#"no tensor "x""#),
        ("overflowing", x_of(&format!("[{max},{max}]")), "overflow"),
        ("empty_but_huge", x_of(&format!("[0,{max}]")), "address"),
    ]
}

fn bad_tensors() -> impl Iterator<Item = (&'static str, CaseFile, &'static str)> {
    let x = |dims: &[usize]| CaseFile::of_x(dims);
    let floats = |name, dims: &[usize]| CaseFile::complete(&DIMS).with_floats(name, dims);
    let zeros = |name, dtype, dims: &[usize], bytes: usize| {
        CaseFile::complete(&DIMS).with(name, dtype, dims, vec![0; bytes])
    };
    let only = |name| CaseFile::of_x(&DIMS).with_floats(name, &[3]);
    [
        ("one_dimension", x(&[6]), "at least 2 dimensions"),
        ("zero_dimension", x(&[2, 0, 3]), "zero"),
        ("one_value_per_channel", x(&[1, 3]), "2 values per channel"),
        ("integer_x", zeros("x", Dtype::I32, &DIMS, 240), "I32"),
        (
            "integer_weight",
            zeros("weight", Dtype::I64, &[3], 24),
            "I64",
        ),
        (
            "half_dy",
            zeros("dy", Dtype::F16, &DIMS, 120),
            "F16 [4, 3, 5]",
        ),
        ("mismatched_dy", floats("dy", &[4, 3, 6]), "F32 [4, 3, 5]"),
        (
            "mismatched_residual",
            floats("residual", &[4, 5, 3]),
            "F32 [4, 3, 5]",
        ),
        ("long_weight", floats("weight", &[4]), "[4]"),
        ("square_bias", floats("bias", &[3, 1]), "[3, 1]"),
        ("misspelled", floats("wieght", &[3]), "wieght"),
        ("only_running_mean", only("running_mean"), "running_var"),
        ("only_running_var", only("running_var"), "running_mean"),
        (
            "endless_slope",
            x(&DIMS)
                .saying("activation", "leaky_relu")
                .saying("negative_slope", "inf"),
            "the slope of leaky ReLU must be",
        ),
        (
            "endless_alpha",
            x(&DIMS).saying("activation", "elu").saying("alpha", "-inf"),
            "the alpha of ELU must be",
        ),
        (
            "untracked_momentum_2",
            x(&DIMS).saying("momentum", "2"),
            "momentum must be",
        ),
    ]
    .into_iter()
}

/// Name, metadata's key and value, and what the message must say.
fn bad_settings() -> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static str)>
{
    [
        (
            "dy_with_inference",
            "pass",
            "inference",
            r#"use pass "frozen""#,
        ),
        ("unknown_pass", "pass", "testing", "testing"),
        ("pass_of_two_lines", "pass", "train\ning", r"train\ning"),
        ("unknown_layout", "layout", "NCHW", "NCHW"),
        (
            "unknown_activation",
            "activation",
            "softplus",
            r#""activation" is "softplus", needed is none, relu, relu6, leaky_relu, elu, hardswish, sigmoid, tanh, silu, gelu or gelu_tanh"#,
        ),
        (
            "slope_in_words",
            "negative_slope",
            "steep",
            r#""negative_slope" is "steep", needed is a number"#,
        ),
        ("nan_epsilon", "epsilon", "nan", "NaN"),
        ("negative_epsilon", "epsilon", "-1e-5", "epsilon must be"),
        ("zero_epsilon", "epsilon", "0", "epsilon must be"),
        ("epsilon_in_words", "epsilon", "small", "small"),
        (
            "momentum_2",
            "momentum",
            "2",
            "momentum must be from 0 to 1",
        ),
        (
            "nan_momentum",
            "momentum",
            "nan",
            "momentum must be from 0 to 1",
        ),
        (
            "negative_batches",
            "num_batches_tracked",
            "-1",
            "whole number",
        ),
        (
            "endless_batches",
            "num_batches_tracked",
            "9223372036854775807",
            "at most",
        ),
        (
            "u64_batches",
            "num_batches_tracked",
            "18446744073709551615",
            "at most",
        ),
    ]
    .into_iter()
}
