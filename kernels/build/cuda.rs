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
#[path = "cubin.rs"]
mod cubin;
#[path = "nvcc.rs"]
mod nvcc;
#[path = "ptx.rs"]
mod ptx;
#[path = "shipped.rs"]
mod shipped;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, fs, thread};

const REQUIRE: &str = "BATCHNORM_REQUIRE_NVCC";
const ARCHITECTURES: &str = "BATCHNORM_CUDA_ARCHITECTURES";
/// Compilers at a time: each takes a core and a few hundred megabytes.
const AT_A_TIME: usize = 2;

/// One run of nvcc.
struct Job {
    source: PathBuf,
    architecture: u32,
}

/// What it made.
struct Compiled {
    module: String,
    architecture: u32,
    version: ptx::Version,
    file: PathBuf,
}

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

/// Turing, Ampere and Hopper, which every later GPU runs as well: those that this nvcc knows, or those asked for.
fn architectures(nvcc: &Path) -> Vec<u32> {
    let known = run(Command::new(nvcc).arg("--list-gpu-arch"));
    let knows = |architecture: &u32| {
        known
            .lines()
            .any(|line| line.trim() == format!("compute_{architecture}"))
    };
    let asked = env::var(ARCHITECTURES).unwrap_or_default();
    let mut architectures: Vec<u32> = if asked.trim().is_empty() {
        vec![75, 80, 90].into_iter().filter(knows).collect()
    } else {
        let names = asked
            .split([',', ';', ' '])
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let read = |name: &str| match name.parse() {
            Ok(architecture) if knows(&architecture) => architecture,
            _ => panic!(
                "{ARCHITECTURES} has {name:?}, which is none of those that {} knows:\n{known}",
                nvcc.display()
            ),
        };
        names.map(read).collect()
    };
    architectures.sort_unstable();
    architectures.dedup();
    assert!(
        !architectures.is_empty(),
        "{} knows none of compute_75, compute_80 and compute_90:\n{known}",
        nvcc.display()
    );
    architectures
}

/// Does some work for each job, several at a time; what comes of it is in no order.
fn at_a_time<J: Sync, D: Send>(jobs: &[J], work: impl Fn(&J) -> D + Sync) -> Vec<D> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = work(job);
                    done.lock()
                        .expect("no job panics while it holds this")
                        .push(one);
                }
            });
        }
    });
    done.into_inner()
        .expect("no job panics while it holds this")
}

struct Compiler {
    nvcc: PathBuf,
    out: PathBuf,
    /// The architectures that there is to be machine code for.
    cubins: Vec<u32>,
}

impl Compiler {
    /// The assembler, which is beside the compiler.
    fn ptxas(&self) -> PathBuf {
        self.nvcc
            .with_file_name(format!("ptxas{}", env::consts::EXE_SUFFIX))
    }

    fn compile(&self, job: &Job) -> Compiled {
        let module = job
            .source
            .file_stem()
            .expect("a file has a name")
            .to_string_lossy()
            .into_owned();
        let file = self.out.join(format!("{module}_{}.ptx", job.architecture));
        // Of other kernels, if a build before this one did not end.
        let _ = fs::remove_file(file.with_extension("cubin"));
        let mut command = Command::new(&self.nvcc);
        // Nothing is contracted but what the kernels say: a GPU's bits are to be those of the SIMT host.
        command.args(["--ptx", "-std=c++17", "-O3", "-fmad=false"]);
        command.arg(format!("-arch=compute_{}", job.architecture));
        if let Some(host) = env::var_os("NVCC_CCBIN").filter(|host| !host.is_empty()) {
            command
                .arg("-allow-unsupported-compiler")
                .arg("-ccbin")
                .arg(host);
        }
        run(command.arg(&job.source).arg("-o").arg(&file));
        let text = ptx::without_place(&fs::read_to_string(&file).expect("nvcc wrote it"));
        let written = ptx::version(&text).expect("PTX begins with its version");
        let version = ptx::candidates(job.architecture, written)
            .find(|&version| {
                fs::write(&file, ptx::with_version(&text, version))
                    .expect("OUT_DIR can be written");
                version == written || self.assembles(job.architecture, &file)
            })
            .expect("what nvcc wrote is the last candidate");
        Compiled {
            module,
            architecture: job.architecture,
            version,
            file,
        }
    }

    /// Whether the assembler can read it. What it makes stays where it is wanted anyway.
    fn assembles(&self, architecture: u32, file: &Path) -> bool {
        let assembled = file.with_extension("cubin");
        let wanted = self.cubins.contains(&architecture);
        let mut command = Command::new(self.ptxas());
        if !wanted {
            // Without optimization it is known soonest.
            command.arg("-O0");
        }
        command.arg(format!("-arch=sm_{architecture}")).arg(file);
        let output = command.arg("-o").arg(&assembled).output();
        let readable = output.is_ok_and(|output| output.status.success());
        if !(wanted && readable) {
            // There is none where it was refused.
            let _ = fs::remove_file(assembled);
        }
        readable
    }
}

/// What a command prints; a failed one fails the build and is shown with all it printed.
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let (printed, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?} failed, {}\n{printed}{said}\nIf the host compiler is the reason, name another one in NVCC_CCBIN.",
        output.status
    );
    printed.into_owned()
}

/// A table of what was compiled, as Rust.
fn embed(table: &Path, compiled: &[Compiled], assembled: &[cubin::Cubin], log: &str) {
    let mut text = String::new();
    writeln!(text, "static EMBEDDED: &[Embedded] = &[").expect("a string takes everything");
    for Compiled {
        module,
        architecture,
        version: (major, minor),
        file,
    } in compiled
    {
        let path = file.display().to_string();
        writeln!(
            text,
            "    Embedded {{ module: {module:?}, architecture: {architecture}, version: ({major}, {minor}), ptx: include_str!({path:?}) }},",
        )
        .expect("a string takes everything");
    }
    writeln!(text, "];\n#[allow(dead_code, reason = \"tests look at the PTX alone\")]\nstatic EMBEDDED_CUBINS: &[Cubin] = &[").expect("a string takes everything");
    for cubin::Cubin {
        module,
        architecture,
        file,
    } in assembled
    {
        let path = file.display().to_string();
        writeln!(
            text,
            "    Cubin {{ module: {module:?}, architecture: {architecture}, image: include_bytes!({path:?}) }},",
        )
        .expect("a string takes everything");
    }
    writeln!(text, "];\nstatic SEARCH_LOG: &str = {log:?};").expect("a string takes everything");
    fs::write(table, text).expect("OUT_DIR can be written");
}
