//! Compiles every `kernels/*.cu` to PTX with nvcc and embeds the texts: `$OUT_DIR/kernels.rs`, which `src/cuda/modules.rs`
//! includes.
//!
//! Without nvcc, or with `BATCHNORM_SHIPPED_KERNELS=1`, the texts are those that are shipped with the crate
//! (`shipped.rs`); `BATCHNORM_REQUIRE_NVCC=1` makes a missing nvcc a failed build. `BATCHNORM_CUDA_ARCHITECTURES` is the
//! list of compute capabilities that nvcc compiles for, such as `75,80,90`. Where neither can be had, which takes kernels
//! that were changed after those shipped were made, a GPU that is found is refused with `Error::KernelsNotBuilt`.
//! `BATCHNORM_CUDA_CUBINS` is another list, of GPUs that are not to compile the PTX at the first use: nvcc makes machine code for them
//! too.

#[path = "archive.rs"]
mod archive;
#[path = "compiler.rs"]
mod compiler;
#[path = "cubin.rs"]
mod cubin;
#[path = "nvcc.rs"]
mod nvcc;
#[path = "programs.rs"]
mod programs;
#[path = "ptx.rs"]
mod ptx;
#[path = "shipped.rs"]
mod shipped;
#[path = "table.rs"]
mod table;

use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs};

use compiler::{ARCHITECTURES, Compiler, Job, architectures};
use programs::at_a_time;
use table::embed;

const REQUIRE: &str = "BATCHNORM_REQUIRE_NVCC";

pub(crate) fn build() {
    for variable in nvcc::VARIABLES.into_iter().chain([
        REQUIRE,
        ARCHITECTURES,
        shipped::ASK,
        cubin::CUBINS,
        "DOCS_RS",
    ]) {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    // A new file is of use once a kernel in it is listed there.
    println!("cargo:rerun-if-changed=src/gpu/kernel.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    if env::var_os("DOCS_RS").is_some() {
        embed(
            &out.join("kernels.rs"),
            &[],
            &[],
            "the kernels are not compiled for documentation",
        );
        return;
    }
    let required = env::var_os(REQUIRE).is_some_and(|value| value == "1");
    let nvcc = if shipped::is_asked_for() {
        Err(format!("{} is set", shipped::ASK))
    } else {
        nvcc::find()
    };
    match nvcc {
        Ok(nvcc) => compile_all(&nvcc, &out),
        Err(log) => {
            assert!(!required, "{REQUIRE}=1, but {log}");
            embed_shipped(&out, &log);
        }
    }
}

/// The kernels that are shipped; or none, with the reason, which also is why there was no nvcc.
fn embed_shipped(out: &Path, no_nvcc: &str) {
    // A change of any makes those that are shipped others than these.
    sources(Path::new("kernels"));
    let table = out.join("kernels.rs");
    match shipped::unpack(out) {
        Ok(compiled) => embed(&table, &compiled, &[], ""),
        Err(unusable) => {
            let log = format!("{unusable}, and {no_nvcc}");
            println!("cargo:warning=there are no CUDA kernels, and no GPU can be used: {log}");
            embed(&table, &[], &[], &log);
        }
    }
}

fn compile_all(nvcc: &Path, out: &Path) {
    let start = Instant::now();
    let architectures = architectures(nvcc);
    let of_source = |source: PathBuf| {
        architectures.iter().map(move |&architecture| Job {
            source: source.clone(),
            architecture,
        })
    };
    let jobs: Vec<Job> = sources(Path::new("kernels"))
        .into_iter()
        .flat_map(of_source)
        .collect();
    let compiler = Compiler {
        nvcc: nvcc.to_owned(),
        out: out.to_owned(),
        cubins: cubin::asked(),
    };
    let mut compiled = at_a_time(&jobs, |job| compiler.compile(job));
    compiled.sort_by_key(|compiled| (compiled.module.clone(), compiled.architecture));
    // For the test that assembles what was compiled.
    println!(
        "cargo:rustc-env=BATCHNORM_PTXAS={}",
        compiler.ptxas().display()
    );
    let assembled = cubin::assemble(&compiler.ptxas(), &compiled, &compiler.cubins);
    embed(&out.join("kernels.rs"), &compiled, &assembled, "");
    let names: Vec<String> = architectures.iter().map(u32::to_string).collect();
    let log = format!(
        "{} for {} in {:.1} s",
        nvcc.display(),
        names.join(", "),
        start.elapsed().as_secs_f64()
    );
    println!("{log}");
    fs::write(out.join("nvcc.log"), log + "\n").expect("OUT_DIR can be written");
}

/// The `.cu` files of a folder. They and what they include are watched.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the kernels are in the crate");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let (mut sources, mut included): (Vec<_>, Vec<_>) = paths
        .filter(|path| has_ending(path, "cu") || has_ending(path, "cuh"))
        .partition(|path| has_ending(path, "cu"));
    sources.sort();
    included.extend_from_slice(&sources);
    for path in included {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    sources
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}
