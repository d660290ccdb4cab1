//! Compiles the kernels for the SIMT host: as C++, with the host that runs them.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Sanitizers to compile with, as gcc's `-fsanitize` takes them.
const SANITIZE: &str = "BATCHNORM_SIMT_SANITIZE";

fn main() {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = here
        .ancestors()
        .nth(2)
        .expect("kernels/simt is two folders deep");
    let kernels = root.join("kernels");
    // The whole folder: which headers a kernel includes is the compiler's to know.
    println!("cargo:rerun-if-changed={}", kernels.display());
    println!("cargo:rerun-if-env-changed={SANITIZE}");
    let host = sources(&here, "cpp");
    let tests = sources(&here, "cu");
    let kernels = sources(&kernels, "cu").into_iter().chain(tests);

    let mut compiler = cc::Build::new();
    compiler
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        .flag("-pthread")
        .flag("-Wno-unknown-pragmas")
        // An activation that a kernel does not know.
        .flag("-Werror=switch")
        // As on the device: what is rounded is what the kernel says, and memory is read as any type.
        .flag("-ffp-contract=off")
        .flag("-fno-strict-aliasing")
        // Messages name files as the repository does.
        .flag(format!("-ffile-prefix-map={}/=", root.display()))
        .files(host)
        .files(kernels.map(|kernel| wrapped(root, &kernel)))
        // Kernels list themselves: nothing else names them.
        .link_lib_modifier("+whole-archive");
    if fused_multiply_add() {
        compiler.flag("-mfma");
    }
    if let Ok(sanitizers) = env::var(SANITIZE) {
        sanitizers
            .split(',')
            .filter(|one| !one.is_empty())
            .for_each(|one| sanitize(&mut compiler, one));
    }
    compiler.compile("batchnorm_simt");
}

/// A C++ file of a file of kernels. Modules of a GPU know nothing of each other, and may use one name for two things: so
/// each is in a namespace of its own.
fn wrapped(root: &Path, kernel: &Path) -> PathBuf {
    let name = kernel.file_stem().expect("a file has a name");
    let path = PathBuf::from(variable("OUT_DIR"))
        .join(name)
        .with_extension("cpp");
    let device = root.join("kernels/device.cuh");
    let text = format!(
        "#include \"{}\"\nnamespace {{\n#include \"{}\"\n}}\n",
        device.display(),
        kernel.display()
    );
    fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// Whether the machine that compiles, and will run this, has the instruction; std::fma is a slow call without.
fn fused_multiply_add() -> bool {
    #[cfg(target_arch = "x86_64")]
    let here = std::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let here = false;
    here && env::var("TARGET") == env::var("HOST")
}

fn sanitize(compiler: &mut cc::Build, sanitizer: &str) {
    let runtime = match sanitizer {
        "address" => "asan",
        "undefined" => "ubsan",
        "thread" => "tsan",
        other => panic!("{SANITIZE} may name address, undefined and thread, got {other:?}"),
    };
    compiler
        .flag(format!("-fsanitize={sanitizer}"))
        .flag("-fno-sanitize-recover=all")
        .flag("-fno-omit-frame-pointer")
        .flag("-g");
    if sanitizer == "thread" {
        // It would count calls, and fibers that end never return from theirs.
        compiler.flag("--param=tsan-instrument-func-entry-exit=0");
    }
    println!("cargo:rustc-link-lib=dylib={runtime}");
}

/// The files of a folder that have this ending, in the order of their names.
fn sources(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let failed = |error| -> ! { panic!("{}: {error}", folder.display()) };
    let entries = folder.read_dir().unwrap_or_else(|error| failed(error));
    let paths = entries.map(|entry| entry.unwrap_or_else(|error| failed(error)).path());
    let mut sources: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    sources.sort();
    sources
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo gives {name}: {error}"))
}
