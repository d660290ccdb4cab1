//! Every kernel as the assembler makes it, for every generation of GPUs since Turing: no spilled register, no stack, and
//! registers enough for as many blocks as the kernel was written for. It takes ptxas, but no GPU.
//!
//! `cargo test --features cuda --test ptxas -- --nocapture` prints what each kernel takes.

mod assembler;
mod bounds;

use std::collections::BTreeMap;

use assembler::{Usage, assemble};
use rayon::prelude::*;

/// As `src/cuda/modules.rs` has it.
struct Embedded {
    module: &'static str,
    architecture: u32,
    #[expect(dead_code, reason = "the assembler reads it in the text")]
    version: (u32, u32),
    ptx: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// Turing, A100, RTX 30, RTX 40, H100 and H200, B200, RTX 50.
const DEVICES: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];

/// What a device runs of a module: the newest form that is not newer than the device.
fn form(module: &str, device: u32) -> Option<&'static Embedded> {
    let of_module = EMBEDDED.iter().filter(|one| one.module == module);
    of_module
        .filter(|one| one.architecture <= device)
        .max_by_key(|one| one.architecture)
}

/// What every kernel of the build takes on a device, and what is wrong with it.
fn on_device(device: u32) -> (Vec<Usage>, Vec<String>) {
    let mut modules: Vec<&str> = EMBEDDED.iter().map(|one| one.module).collect();
    modules.sort_unstable();
    modules.dedup();
    let (mut usages, mut faults) = (Vec::new(), Vec::new());
    for module in modules {
        let Some(form) = form(module, device) else {
            faults.push(format!("{module} has no form for sm_{device}"));
            continue;
        };
        let bounds = bounds::of(form.ptx);
        for usage in assemble(form.ptx, device).unwrap() {
            let bound = bounds[&usage.kernel];
            faults.extend(
                bound
                    .faults(&usage)
                    .into_iter()
                    .map(|fault| format!("sm_{device}: {fault}")),
            );
            usages.push(usage);
        }
    }
    (usages, faults)
}

#[test]
fn no_kernel_spills_on_any_gpu() {
    if EMBEDDED.is_empty() {
        eprintln!("skipped: {SEARCH_LOG}");
        return;
    }
    let on_devices: Vec<_> = DEVICES
        .par_iter()
        .map(|&device| on_device(device))
        .collect();
    let mut table: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for usage in on_devices.iter().flat_map(|(usages, _)| usages) {
        let cell = format!("{}/{}", usage.registers, usage.shared_bytes);
        table.entry(&usage.kernel).or_default().push(cell);
    }
    println!("registers of a thread / static bytes of shared memory of a block");
    let headings = DEVICES.map(|device| format!("sm_{device}")).to_vec();
    for (kernel, cells) in [("kernel", headings)].into_iter().chain(table.clone()) {
        print!("{kernel:<34}");
        for cell in cells {
            print!("{cell:>10}");
        }
        println!();
    }
    let faults: Vec<&String> = on_devices.iter().flat_map(|(_, faults)| faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(!table.is_empty(), "there is no kernel in the build");
}

/// A kernel that keeps an array where only a stack can be: the check above must be able to fail.
#[test]
fn a_kernel_with_a_stack_is_seen() {
    if EMBEDDED.is_empty() {
        eprintln!("skipped: {SEARCH_LOG}");
        return;
    }
    let ptx = include_str!("stack.ptx");
    let bounds = bounds::of(ptx);
    for device in DEVICES {
        let usages = assemble(ptx, device).unwrap();
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
