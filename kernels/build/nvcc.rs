//! Where CUDA's compiler is. nvidia-smi is never asked: what is built does not depend on the GPU of this machine.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Variables that lead to nvcc or change what it does.
pub(super) const VARIABLES: [&str; 5] = ["NVCC", "CUDA_HOME", "CUDA_PATH", "PATH", "NVCC_CCBIN"];

/// nvcc, or every place that was looked at.
pub(super) fn find() -> Result<PathBuf, String> {
    let places = places(|name| env::var_os(name));
    let mut looked = Vec::new();
    for (why, path) in &places {
        if path.is_file() {
            return Ok(path.clone());
        }
        looked.push(format!("{} ({why})", path.display()));
    }
    Err(format!("nvcc is in none of {}", looked.join(", ")))
}

/// Where nvcc may be, best first, and why there. One that is named is the only one.
pub(super) fn places(variable: impl Fn(&str) -> Option<OsString>) -> Vec<(&'static str, PathBuf)> {
    let set = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(named) = set("NVCC") {
        return vec![("NVCC", named)];
    }
    let program = format!("nvcc{}", env::consts::EXE_SUFFIX);
    let mut places = Vec::new();
    for name in ["CUDA_HOME", "CUDA_PATH"] {
        let Some(home) = set(name) else { continue };
        // A toolkit; the folder that has nvcc; and a Python environment's packages from PyPI.
        for inside in ["bin", "", "nvidia/cu13/bin"] {
            places.push((name, home.join(inside).join(&program)));
        }
    }
    let path = variable("PATH").unwrap_or_default();
    places.extend(env::split_paths(&path).map(|folder| ("PATH", folder.join(&program))));
    places.push((
        "the usual place",
        Path::new("/usr/local/cuda/bin").join(&program),
    ));
    places
}
