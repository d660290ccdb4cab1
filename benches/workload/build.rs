//! Compiles the kernels that measure a GPU, `src/gpu/*.cu`, to PTX with nvcc (feature `cuda`), and embeds the texts: empty
//! without nvcc, which the library's own kernels were not compiled without either.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// A file of kernels, the oldest GPU that can run it, and the oldest version of PTX that can say it, which any driver of such a
/// GPU reads.
struct Source {
    name: &'static str,
    architecture: &'static str,
    version: &'static str,
}

const SOURCES: [Source; 3] = [
    Source {
        name: "ceilings",
        architecture: "75",
        version: ".version 6.3",
    },
    Source {
        name: "latencies",
        architecture: "75",
        version: ".version 6.3",
    },
    // Clusters came with Hopper.
    Source {
        name: "barriers",
        architecture: "90",
        version: ".version 8.0",
    },
];

fn main() {
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH", "PATH", "NVCC_CCBIN"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let nvcc = env::var_os("CARGO_FEATURE_CUDA").and_then(|_| nvcc());
    for source in &SOURCES {
        println!("cargo:rerun-if-changed={}", source.path());
        let embedded = out.join(source.name).with_extension("ptx");
        fs::write(&embedded, "").expect("OUT_DIR can be written");
        if let Some(nvcc) = &nvcc {
            compile(nvcc, source, &embedded);
        }
    }
}

impl Source {
    fn path(&self) -> String {
        format!("src/gpu/{}.cu", self.name)
    }
}

/// Where the build of the library looks as well (`kernels/build/nvcc.rs`).
fn nvcc() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(named) = set("NVCC") {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(set);
    let inside = ["bin", "", "nvidia/cu13/bin"];
    let of_homes = homes.flat_map(|home| inside.map(|folder| Path::new(&home).join(folder)));
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = of_homes.chain(env::split_paths(&path));
    let folders = folders.chain([PathBuf::from("/usr/local/cuda/bin")]);
    let program = format!("nvcc{}", env::consts::EXE_SUFFIX);
    folders
        .map(|folder| folder.join(&program))
        .find(|path| path.is_file())
}

fn compile(nvcc: &Path, source: &Source, embedded: &Path) {
    let mut command = Command::new(nvcc);
    command
        .args(["--ptx", "-std=c++17", "-O3", &source.path(), "-o"])
        .arg(embedded);
    command.arg(format!("-arch=compute_{}", source.architecture));
    if let Some(host) = env::var_os("NVCC_CCBIN").filter(|host| !host.is_empty()) {
        command
            .arg("-allow-unsupported-compiler")
            .arg("-ccbin")
            .arg(host);
    }
    run(&mut command);
    let text = fs::read_to_string(embedded).expect("nvcc wrote it");
    let lines = text
        .lines()
        .filter(|line| !line.contains("used_bytes_mask"));
    let older = lines.map(|line| {
        if line.starts_with(".version ") {
            source.version
        } else {
            line
        }
    });
    fs::write(embedded, older.collect::<Vec<_>>().join("\n")).expect("OUT_DIR can be written");
    // Whether it can be said in that version.
    let mut assembler =
        Command::new(nvcc.with_file_name(format!("ptxas{}", env::consts::EXE_SUFFIX)));
    assembler
        .arg("-O0")
        .arg(format!("-arch=sm_{}", source.architecture))
        .arg(embedded);
    run(assembler.arg("-o").arg(embedded.with_extension("cubin")));
}

/// A failed command fails the build and is shown with all it printed.
fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let printed = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{command:?} failed, {}\n{}",
        output.status,
        String::from_utf8_lossy(&printed)
    );
}
