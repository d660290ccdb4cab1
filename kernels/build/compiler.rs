//! One source to PTX for one architecture, by nvcc.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::programs::run;
use super::ptx;

pub(super) const ARCHITECTURES: &str = "BATCHNORM_CUDA_ARCHITECTURES";

/// One run of nvcc.
pub(super) struct Job {
    pub(super) source: PathBuf,
    pub(super) architecture: u32,
}

/// What it made.
pub(super) struct Compiled {
    pub(super) module: String,
    pub(super) architecture: u32,
    pub(super) version: ptx::Version,
    pub(super) file: PathBuf,
}

/// Turing, Ampere and Hopper, which every later GPU runs as well: those that this nvcc knows, or those asked for.
pub(super) fn architectures(nvcc: &Path) -> Vec<u32> {
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

pub(super) struct Compiler {
    pub(super) nvcc: PathBuf,
    pub(super) out: PathBuf,
    /// The architectures that there is to be machine code for.
    pub(super) cubins: Vec<u32>,
}

impl Compiler {
    /// The assembler, which is beside the compiler.
    pub(super) fn ptxas(&self) -> PathBuf {
        self.nvcc
            .with_file_name(format!("ptxas{}", env::consts::EXE_SUFFIX))
    }

    pub(super) fn compile(&self, job: &Job) -> Compiled {
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
