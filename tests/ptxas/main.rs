//! Every kernel as the assembler makes it, for every generation of GPUs since Turing: no spilled register, no stack, and
//! registers enough for as many blocks as the kernel was written for; and, where there is a disassembler, how many loads it has
//! on their way, what a packet costs, and where it waits for memory; the model of the plan has these numbers. It takes ptxas, but no GPU.
//!
//! `cargo test --features cuda --test ptxas -- --nocapture` prints what each kernel takes.
//! `BATCHNORM_RECORD_MACHINE_CODE=1` writes the table of the machine code into `benches/results/kernels.md`.

mod assembler;
mod bounds;
mod disassembler;
mod loops;
mod machine_code;
mod model;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use assembler::{Assembled, Usage, assemble};
use bounds::Bounds;
use rayon::prelude::*;

/// As `src/cuda/modules.rs` has it.
struct Embedded {
    module: &'static str,
    architecture: u32,
    #[expect(dead_code, reason = "the assembler reads it in the text")]
    version: (u32, u32),
    ptx: &'static str,
}

/// As there, too.
#[expect(dead_code, reason = "what is assembled here is the PTX")]
struct Cubin {
    module: &'static str,
    architecture: u32,
    image: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// Turing, A100, RTX 30, RTX 40, H100 and H200, B200, RTX 50.
const DEVICES: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];
/// A list of those to assemble for, such as `80,90`: all take minutes.
const ASSEMBLE_FOR: &str = "BATCHNORM_ASSEMBLE_FOR";

/// What a device runs of a module: the newest form that is not newer than the device.
fn form(module: &str, device: u32) -> Option<&'static Embedded> {
    let of_module = EMBEDDED.iter().filter(|one| one.module == module);
    of_module
        .filter(|one| one.architecture <= device)
        .max_by_key(|one| one.architecture)
}

/// Those that the build has kernels for (whoever builds may leave older ones out), of those that were asked for.
fn devices() -> impl Iterator<Item = u32> {
    let oldest = EMBEDDED.iter().map(|one| one.architecture).min();
    let asked = std::env::var(ASSEMBLE_FOR).ok();
    DEVICES.into_iter().filter(move |device| {
        let is_asked_for = |asked: &String| asked.split(',').any(|one| one == device.to_string());
        oldest.is_some_and(|oldest| *device >= oldest) && asked.as_ref().is_none_or(is_asked_for)
    })
}

/// A module of the build for a device, with the launch bounds of its kernels.
struct OnDevice {
    device: u32,
    bounds: HashMap<String, Bounds>,
    assembled: Assembled,
}

/// All modules for all devices, assembled once for all tests: it takes minutes.
static ON_DEVICES: LazyLock<Vec<OnDevice>> = LazyLock::new(|| {
    let mut modules: Vec<&str> = EMBEDDED.iter().map(|one| one.module).collect();
    modules.sort_unstable();
    modules.dedup();
    let of_device = |device| modules.iter().map(move |&module| (device, module));
    let all: Vec<(u32, &str)> = devices().flat_map(of_device).collect();
    let assembled = all.par_iter().map(|&(device, module)| {
        let form =
            form(module, device).unwrap_or_else(|| panic!("{module} has no form for sm_{device}"));
        OnDevice {
            device,
            bounds: bounds::of(form.ptx),
            assembled: assemble(form.ptx, device).unwrap(),
        }
    });
    assembled.collect()
});

/// What is wrong with what a module's kernels take.
fn faults(module: &OnDevice) -> Vec<String> {
    let usages = module.assembled.usages.iter();
    usages
        .flat_map(|usage| module.bounds[&usage.kernel].faults(usage))
        .map(|fault| format!("sm_{}: {fault}", module.device))
        .collect()
}

#[test]
fn no_kernel_spills_on_any_gpu() {
    if option_env!("BATCHNORM_PTXAS").is_none() {
        eprintln!("skipped: this build had no nvcc, and so no ptxas {SEARCH_LOG}");
        return;
    }
    let mut table: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for usage in ON_DEVICES
        .iter()
        .flat_map(|module| &module.assembled.usages)
    {
        let cell = format!("{}/{}", usage.registers, usage.shared_bytes);
        table.entry(&usage.kernel).or_default().push(cell);
    }
    for device in DEVICES
        .into_iter()
        .filter(|device| devices().all(|other| other != *device))
    {
        eprintln!(
            "skipped: sm_{device}, for which there are no kernels in the build, or which {ASSEMBLE_FOR} leaves out"
        );
    }
    println!("registers of a thread / static bytes of shared memory of a block");
    let headings = devices().map(|device| format!("sm_{device}")).collect();
    for (kernel, cells) in [("kernel", headings)].into_iter().chain(table.clone()) {
        print!("{kernel:<34}");
        for cell in cells {
            print!("{cell:>10}");
        }
        println!();
    }
    let faults: Vec<String> = ON_DEVICES.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(!table.is_empty(), "there is no kernel in the build");
}

/// A kernel that keeps an array where only a stack can be: the check above must be able to fail.
#[test]
fn a_kernel_with_a_stack_is_seen() {
    if option_env!("BATCHNORM_PTXAS").is_none() {
        eprintln!("skipped: this build had no nvcc, and so no ptxas {SEARCH_LOG}");
        return;
    }
    let ptx = include_str!("stack.ptx");
    let bounds = bounds::of(ptx);
    for device in DEVICES {
        let usages: Vec<Usage> = assemble(ptx, device).unwrap().usages;
        let faults: Vec<String> = usages
            .iter()
            .flat_map(|usage| bounds[&usage.kernel].faults(usage))
            .collect();
        assert_eq!(usages.len(), 1);
        assert!(
            faults.iter().any(|fault| fault.contains("stack")),
            "sm_{device}: {faults:?}"
        );
    }
}
