//! Runs ptxas and reads what it says of each kernel.

use std::fs;
use std::process::Command;

/// What one kernel takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub kernel: String,
    /// 32-bit registers of a thread.
    pub registers: u32,
    /// Static, of a block.
    pub shared_bytes: u32,
    pub stack_bytes: u32,
    /// Stored and loaded together.
    pub spilled_bytes: u32,
}

/// A module for one GPU.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub usages: Vec<Usage>,
    pub code: Vec<u8>,
}

/// Assembles a text for one GPU.
pub(crate) fn assemble(ptx: &str, device: u32) -> Result<Assembled, String> {
    let ptxas = option_env!("BATCHNORM_PTXAS").ok_or("this build had no nvcc, and so no ptxas")?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let source = folder.path().join("kernels.ptx");
    fs::write(&source, ptx).map_err(|error| error.to_string())?;
    let mut command = Command::new(ptxas);
    command
        .arg("-v")
        .arg(format!("-arch=sm_{device}"))
        .arg(&source);
    let assembled = folder.path().join("kernels.cubin");
    command.arg("-o").arg(&assembled);
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        let code = fs::read(&assembled).map_err(|error| error.to_string())?;
        Ok(Assembled {
            usages: read(&said),
            code,
        })
    } else {
        Err(format!("{command:?}: {}\n{said}", output.status))
    }
}

/// Three lines of each kernel: its name, stack and spills, registers and shared memory.
fn read(said: &str) -> Vec<Usage> {
    let mut usages: Vec<Usage> = Vec::new();
    for line in said.lines() {
        if let Some(name) = line
            .split('\'')
            .nth(1)
            .filter(|_| line.contains("Compiling entry function"))
        {
            usages.push(Usage {
                kernel: name.to_owned(),
                ..Usage::default()
            });
        }
        let Some(usage) = usages.last_mut() else {
            continue;
        };
        let number = |unit: &str| number_before(line, unit);
        if line.contains("stack frame") {
            usage.stack_bytes = number("bytes stack frame");
            usage.spilled_bytes = number("bytes spill stores") + number("bytes spill loads");
        }
        if line.contains("Used ") {
            usage.registers = number("registers");
            usage.shared_bytes = number("bytes smem");
        }
    }
    usages
}

/// The number that a line gives of something; 0 where it says nothing of it.
fn number_before(line: &str, unit: &str) -> u32 {
    let before = line
        .split(unit)
        .next()
        .filter(|before| before.len() < line.len());
    let word = before.and_then(|before| before.split_whitespace().next_back());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[test]
fn what_ptxas_says_is_read() {
    let said = "ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'one_f32' for 'sm_90'
ptxas info    : Function properties for one_f32
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 72 registers, used 1 barriers, 132 bytes smem
ptxas info    : Compiling entry function 'two_f64' for 'sm_90'
ptxas info    : Function properties for two_f64
    48 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
";
    let one = Usage {
        kernel: "one_f32".to_owned(),
        registers: 72,
        shared_bytes: 132,
        ..Usage::default()
    };
    let two = Usage {
        kernel: "two_f64".to_owned(),
        registers: 255,
        stack_bytes: 48,
        spilled_bytes: 12,
        ..Usage::default()
    };
    assert_eq!(read(said), [one, two]);
}
