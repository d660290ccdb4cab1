//! Runs nvdisasm and reads the instructions of each kernel.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// A kernel's instructions in order, and which of them branches lead to.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub kernel: String,
    pub instructions: Vec<String>,
    labels: Vec<(String, usize)>,
}

impl Listing {
    /// Where the branch goes that this instruction is, if it is one.
    pub(crate) fn target(&self, instruction: usize) -> Option<usize> {
        let text = &self.instructions[instruction];
        if !operation(text).starts_with("BRA") {
            return None;
        }
        let label = text.split("`(").nth(1)?.split(')').next()?;
        let found = self.labels.iter().find(|(name, _)| name == label);
        found.map(|&(_, place)| place)
    }
}

/// An instruction's name with its modifiers: what follows its predicate.
pub(crate) fn operation(text: &str) -> &str {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or("");
    if first.starts_with('@') {
        words.next().unwrap_or("")
    } else {
        first
    }
}

/// The program: named by `NVDISASM`, beside the assembler, or on the path.
pub(crate) fn find() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("NVDISASM") {
        return Ok(named.into());
    }
    let program = format!("nvdisasm{}", env::consts::EXE_SUFFIX);
    let beside =
        option_env!("BATCHNORM_PTXAS").map(|ptxas| Path::new(ptxas).with_file_name(&program));
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join(&program));
    beside
        .into_iter()
        .chain(on_path)
        .find(|place| place.is_file())
        .ok_or_else(|| {
            "nvdisasm is neither named by NVDISASM nor beside ptxas nor on the path (PyPI has it as nvidia-cuda-nvdisasm)"
                .to_owned()
        })
}

/// The kernels of assembled code.
pub(crate) fn disassemble(nvdisasm: &Path, code: &[u8]) -> Result<Vec<Listing>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = folder.path().join("kernels.cubin");
    fs::write(&file, code).map_err(|error| error.to_string())?;
    let mut command = Command::new(nvdisasm);
    let output = command
        .arg("-c")
        .arg(&file)
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(read(&String::from_utf8_lossy(&output.stdout)))
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?}: {}\n{said}", output.status))
    }
}

fn read(text: &str) -> Vec<Listing> {
    let mut listings: Vec<Listing> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix(".section") {
            if let Some(name) = section.trim().strip_prefix(".text.") {
                listings.push(Listing {
                    kernel: name.split(',').next().unwrap_or(name).to_owned(),
                    ..Listing::default()
                });
            }
            continue;
        }
        let Some(listing) = listings.last_mut() else {
            continue;
        };
        if let Some(label) = line.strip_suffix(':') {
            let place = listing.instructions.len();
            listing.labels.push((label.to_owned(), place));
        } else if let Some(instruction) = line.strip_prefix("/*").and_then(|rest| {
            let (_, instruction) = rest.split_once("*/")?;
            instruction
                .split_once(';')
                .map(|(instruction, _)| instruction)
        }) {
            listing.instructions.push(instruction.trim().to_owned());
        }
    }
    listings
}

#[test]
fn a_listing_is_read() {
    let text = "
\t.section\t.text.one_f32,\"ax\",@progbits
.text.one_f32:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0020*/              @!P0 BRA `(.L_x_1) ;
";
    let listings = read(text);
    assert_eq!(listings.len(), 1);
    assert_eq!(listings[0].kernel, "one_f32");
    assert_eq!(listings[0].instructions.len(), 3);
    assert_eq!(listings[0].target(2), Some(1));
    assert_eq!(listings[0].target(1), None);
    assert_eq!(operation(&listings[0].instructions[2]), "BRA");
}
