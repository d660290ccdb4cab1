//! Compiles the kernels that measure a GPU's memory, `src/gpu/ceilings.cu`, to PTX with nvcc (feature `cuda`), and embeds the
//! text: empty without nvcc, which the library's own kernels were not compiled without either.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const SOURCE: &str = "src/gpu/ceilings.cu";
/// What every GPU that the library knows can run, and the oldest version of PTX that can say it: any driver reads that one.
const ARCHITECTURE: &str = "75";
const VERSION: &str = ".version 6.3";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH", "PATH", "NVCC_CCBIN"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let embedded = out.join("ceilings.ptx");
    fs::write(&embedded, "").expect("OUT_DIR can be written");
    if env::var_os("CARGO_FEATURE_CUDA").is_some()
        && let Some(nvcc) = nvcc()
    {
        compile(&nvcc, &embedded);
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

fn compile(nvcc: &Path, embedded: &Path) {
    let mut command = Command::new(nvcc);
    command
        .args(["--ptx", "-std=c++17", "-O3", SOURCE, "-o"])
        .arg(embedded);
    command.arg(format!("-arch=compute_{ARCHITECTURE}"));
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
            VERSION
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
        .arg(format!("-arch=sm_{ARCHITECTURE}"))
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
