//! Machine code beside the PTX, where it is asked for: a driver loads it without compiling, and unpacks it itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::compiler::Compiled;
use super::programs::{at_a_time, run};

/// Compute capabilities to assemble for, such as `80,86,89,90,100,120`.
pub(super) const CUBINS: &str = "BATCHNORM_CUDA_CUBINS";

/// One module for one GPU.
pub(super) struct Cubin {
    pub(super) module: String,
    pub(super) architecture: u32,
    pub(super) file: PathBuf,
}

/// The architectures that are asked for.
pub(super) fn asked() -> Vec<u32> {
    let asked = env::var(CUBINS).unwrap_or_default();
    let names = asked.split([',', ';', ' ']).map(str::trim);
    let read = |name: &str| {
        name.parse()
            .unwrap_or_else(|_| panic!("{CUBINS} has {name:?}, which is no compute capability"))
    };
    names.filter(|name| !name.is_empty()).map(read).collect()
}

/// Assembles every module for each architecture, from its newest PTX that the architecture runs, and packs it.
pub(super) fn assemble(ptxas: &Path, compiled: &[Compiled], architectures: &[u32]) -> Vec<Cubin> {
    let modules: BTreeSet<&str> = compiled.iter().map(|one| one.module.as_str()).collect();
    let wanted: Vec<(&str, u32)> = modules
        .into_iter()
        .flat_map(|module| {
            architectures
                .iter()
                .map(move |&architecture| (module, architecture))
        })
        .collect();
    at_a_time(&wanted, |&(module, architecture)| {
        let of_module = compiled.iter().filter(|one| one.module == module);
        let runs = of_module.filter(|one| one.architecture <= architecture);
        let Some(source) = runs.max_by_key(|one| one.architecture) else {
            panic!("{CUBINS} has {architecture}, for which no PTX is compiled");
        };
        let cubin = source
            .file
            .with_file_name(format!("{module}_{architecture}.cubin"));
        // It is there where the PTX was tried on it.
        if !cubin.exists() {
            let mut command = Command::new(ptxas);
            command
                .arg(format!("-arch=sm_{architecture}"))
                .arg(&source.file);
            run(command.arg("-o").arg(&cubin));
        }
        let file = cubin.with_extension("fatbin");
        pack(ptxas, &cubin, architecture, &file);
        Cubin {
            module: module.to_owned(),
            architecture,
            file,
        }
    })
}

/// Compressed, by the tool that is beside the assembler.
fn pack(ptxas: &Path, cubin: &Path, architecture: u32, file: &Path) {
    let name = format!("fatbinary{}", env::consts::EXE_SUFFIX);
    let mut command = Command::new(ptxas.with_file_name(name));
    command.args(["--64", "--compress-all"]);
    command.arg(format!("--create={}", file.display()));
    run(command.arg(format!(
        "--image3=kind=elf,sm={architecture},file={}",
        cubin.display()
    )));
    let _ = fs::remove_file(cubin);
}
