//! The frames of the processor's kernels, read in machine code: aligned to their registers, and with few of them kept in memory.
//! A register that is kept over two cache lines, or over none, depending on where the stack begins, makes one process in two slower
//! than the other. Without optimization, and where the instruction sets are not, there is nothing to read.
#![cfg(all(
    target_os = "linux",
    target_arch = "x86_64",
    feature = "avx2",
    feature = "avx512",
    not(unoptimized),
    not(miri)
))]

use std::env::current_exe;
use std::path::Path;
use std::process::Command;

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Element, Shape, Tensor};
use half::{bf16, f16};

/// The function that a kernel is inlined into, at one of the instruction sets.
struct Entry {
    name: String,
    instructions: Vec<String>,
}

/// An instruction set, the most registers that a kernel of it may keep at a time and again, and how its registers are called.
struct Registers {
    proof: &'static str,
    register: &'static str,
    /// How the instructions end that align the stack to a register or more.
    alignments: &'static [&'static str],
    most_stores: usize,
}

const AVX512: Registers = Registers {
    proof: "Avx512",
    register: "%zmm",
    alignments: &["c0,%rsp"],
    most_stores: 2000,
};

const AVX2: Registers = Registers {
    proof: "Avx2",
    register: "%ymm",
    alignments: &["e0,%rsp", "c0,%rsp"],
    // With what is handed to a computed activation, four vectors of four registers each where values are `f64`.
    most_stores: 5200,
};

/// Has the linker keep the kernels of a type.
fn passes<T: Element>() {
    let (cpu, shape) = (Cpu::new(), Shape::channels_first(&[4, 2, 3]).unwrap());
    let x = Tensor::<T, Cpu>::zeros(&cpu, shape).unwrap();
    let mut layer: BatchNorm<Cpu, T::Compute> =
        BatchNorm::with_compute(&cpu, BatchNormConfig::new(2)).unwrap();
    let (y, pass) = layer.forward_training(&x).unwrap();
    pass.backward(&y).unwrap();
}

fn output_of(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("binutils are needed: {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The kernels at an instruction set, as this program has them.
fn entries(program: &Path, proof: &str) -> Vec<Entry> {
    let symbols = output_of(Command::new("nm").arg("--print-size").arg(program));
    let mut entries = vec![];
    for symbol in symbols.lines() {
        let words: Vec<&str> = symbol.split_whitespace().collect();
        let [start, size, _, name] = words[..] else {
            continue;
        };
        if ![proof, "vectorize", "enabled"]
            .iter()
            .all(|word| name.contains(word))
        {
            continue;
        }
        let [start, size] = [start, size].map(|word| u64::from_str_radix(word, 16).unwrap());
        let code = output_of(
            Command::new("objdump")
                .args(["--disassemble", "--no-show-raw-insn"])
                .arg(format!("--start-address={start}"))
                .arg(format!("--stop-address={}", start + size))
                .arg(program),
        );
        let instruction = |line: &str| Some(line.split_once(":\t")?.1.trim().to_owned());
        entries.push(Entry {
            name: name.to_owned(),
            instructions: code.lines().filter_map(instruction).collect(),
        });
    }
    entries
}

/// Whether an instruction writes a register to the frame.
fn keeps(instruction: &str, register: &str) -> bool {
    let Some((operation, operands)) = instruction.split_once(' ') else {
        return false;
    };
    let operands = operands.trim();
    operation.starts_with("vmov")
        && operands.starts_with(register)
        && (operands.ends_with("(%rsp)") || operands.ends_with("(%rbp)"))
}

fn check(registers: &Registers) {
    let entries = entries(&current_exe().unwrap(), registers.proof);
    // Four types have moments, y, dx and gradient sums; two types can have code in common.
    assert!(
        entries.len() >= 12,
        "{} at {}",
        entries.len(),
        registers.proof
    );
    let mut most = 0;
    for Entry { name, instructions } in &entries {
        let kept = instructions
            .iter()
            .filter(|line| keeps(line, registers.register))
            .count();
        let aligns = |line: &String| {
            line.starts_with("and ") && registers.alignments.iter().any(|end| line.ends_with(end))
        };
        let is_aligned = instructions.iter().any(aligns);
        assert!(is_aligned, "{name}: its frame begins anywhere");
        most = most.max(kept);
    }
    // Or what is kept was not found.
    assert!(most > 0, "{}", registers.proof);
    assert!(
        most <= registers.most_stores,
        "{most} at {}",
        registers.proof
    );
    println!(
        "{}: {} kernels, {most} registers kept at most",
        registers.proof,
        entries.len()
    );
}

#[test]
fn frames_are_aligned_to_their_registers() {
    passes::<f32>();
    passes::<f64>();
    passes::<f16>();
    passes::<bf16>();
    check(&AVX512);
    check(&AVX2);
}
