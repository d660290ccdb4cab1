//! What an engineer would look for in the machine code of the kernels that do a whole pass.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use rayon::prelude::*;

use crate::disassembler::{self, Listing, operation};
use crate::loops::{self, Loop};
use crate::{EMBEDDED, ON_DEVICES, SEARCH_LOG, devices, model};

/// Loads of 16 bytes that must be on their way before the first is used: with 256 threads twice on a multiprocessor, 32 KB.
const LOADS_IN_FLIGHT: usize = 4;

/// What one kernel is on one device.
pub(crate) struct Findings {
    pub kernel: String,
    pub device: u32,
    pub registers: u32,
    /// The plain form's loops.
    pub reads: Loop,
    writes: Loop,
    /// Where packets are copied to shared memory before either.
    pub copies: Option<Loop>,
    fences: usize,
    /// Loads and stores whose address may be of any memory: `LD` and `ST`, where global memory has `LDG` and `STG`.
    untyped: usize,
}

impl Findings {
    fn of(listing: &Listing, device: u32, registers: u32) -> Result<Self, String> {
        let kernel = listing.kernel.clone();
        let loops = loops::of(listing, arrays(&kernel));
        let plain = |writes: bool, copies: bool| {
            let of_kind = loops
                .iter()
                .filter(|one| (one.writes, one.copies) == (writes, copies));
            of_kind
                .min_by(|one, other| {
                    one.instructions_of_a_packet()
                        .total_cmp(&other.instructions_of_a_packet())
                })
                .cloned()
        };
        let named = |writes: bool| {
            plain(writes, false)
                .ok_or_else(|| format!("sm_{device}: {kernel} has no loop that writes={writes}"))
        };
        let (reads, writes, copies) = (named(false)?, named(true)?, plain(false, true));
        let count = |is: &dyn Fn(&str) -> bool| {
            let instructions = listing.instructions.iter();
            instructions.filter(|text| is(text)).count()
        };
        Ok(Self {
            device,
            registers,
            reads,
            writes,
            copies,
            fences: count(&|text| operation(text).starts_with("MEMBAR")),
            untyped: count(&|text| is_untyped(text, device)),
            kernel,
        })
    }

    /// Where the kernel reads and where it writes, each with the copy before it.
    fn instructions_of_a_packet(&self) -> [f64; 2] {
        let copy = self
            .copies
            .as_ref()
            .map_or(0.0, Loop::instructions_of_a_packet);
        [&self.reads, &self.writes].map(|one| one.instructions_of_a_packet() + copy)
    }

    /// Where the kernel reads and where it writes, without copies.
    pub(crate) fn issue_slots_of_a_packet(&self) -> f64 {
        self.reads.issue_slots_of_a_packet() + self.writes.issue_slots_of_a_packet()
    }

    /// Loads, or copies, of packets before one is waited for.
    pub(crate) fn loads_in_flight(&self) -> usize {
        self.copies.as_ref().unwrap_or(&self.reads).loads_in_flight
    }

    /// Warps that the registers leave a multiprocessor, of 64.
    fn occupancy(&self) -> u32 {
        65536 / (self.registers.next_multiple_of(8) * 32)
    }

    fn faults(&self) -> Vec<String> {
        let Self { kernel, device, .. } = self;
        let mut faults = vec![];
        let mut check = |right: bool, fault: String| {
            if !right {
                faults.push(format!("sm_{device}: {kernel} {fault}"));
            }
        };
        let in_flight = self.loads_in_flight();
        check(
            in_flight >= LOADS_IN_FLIGHT,
            format!("has {in_flight} loads on their way, of {LOADS_IN_FLIGHT}"),
        );
        if let Some(most) = most_instructions(kernel, *device) {
            let taken: f64 = self.instructions_of_a_packet().iter().sum();
            check(
                taken <= most,
                format!("takes {taken:.0} instructions a packet, above {most:.0}"),
            );
        }
        let calls = self.reads.calls + self.writes.calls;
        check(
            calls == 0,
            format!("has {calls} calls in its loops, such as for a 64-bit division"),
        );
        let most = most_fences(kernel, *device);
        check(
            self.fences <= most,
            format!("has {} fences, of which {most} publish", self.fences),
        );
        check(
            self.untyped == 0,
            format!("has {} loads and stores of any memory", self.untyped),
        );
        faults
    }
}

/// Whether it is a load or store whose address may be of any memory. With clusters, those without a descriptor are of shared
/// memory: their addresses have 32 bits, in one window for all blocks of a cluster.
fn is_untyped(text: &str, device: u32) -> bool {
    let is_generic = matches!(operation(text).split('.').next(), Some("LD" | "ST"));
    is_generic && (device < 90 || text.contains("desc["))
}

/// Whether a kernel does a whole pass, and is planned for a device.
fn is_fused(kernel: &str, device: u32) -> bool {
    let of_all = ["on_chip", "ticketed", "persistent"];
    // Turing has no copies that go on while threads do something else.
    of_all.iter().any(|strategy| kernel.contains(strategy))
        || (device >= 80 && kernel.contains("pipelined"))
}

/// Arrays that a pass reads.
fn arrays(kernel: &str) -> usize {
    if kernel.contains("backward") { 2 } else { 1 }
}

/// The most instructions that a packet of 16 bytes may take in the plain form, over the whole kernel. Turing has no
/// conversions of two values at once and bfloat16 only by integers: there only the other bounds hold.
fn most_instructions(kernel: &str, device: u32) -> Option<f64> {
    let most = match (kernel.rsplit('_').next(), arrays(kernel)) {
        (Some("f32"), 1) => 80.0,
        (Some("f32"), _) => 120.0,
        (_, 1) => 130.0,
        _ => 200.0,
    };
    (device >= 80).then_some(most)
}

/// Fences of a form that others' reads depend on, by the number of forms.
fn most_fences(kernel: &str, device: u32) -> usize {
    let forms = if kernel.contains("planes") { 3 } else { 2 };
    let published = if kernel.contains("on_chip") {
        // The sums, to the cluster.
        usize::from(device >= 90)
    } else {
        // A block's sums; that a channel or group is finalized; that a block has departed.
        3
    };
    forms * published
}

fn findings(nvdisasm: &Path) -> Vec<Findings> {
    let modules = ON_DEVICES.par_iter().map(|module| {
        let listings = disassembler::disassemble(nvdisasm, &module.assembled.code).unwrap();
        let registers: BTreeMap<&str, u32> = module
            .assembled
            .usages
            .iter()
            .map(|usage| (usage.kernel.as_str(), usage.registers))
            .collect();
        let fused = listings
            .iter()
            .filter(|listing| is_fused(&listing.kernel, module.device));
        fused
            .map(|listing| {
                Findings::of(listing, module.device, registers[listing.kernel.as_str()]).unwrap()
            })
            .collect::<Vec<_>>()
    });
    let mut findings: Vec<Findings> = modules.flatten().collect();
    findings.sort_by(|one, other| (&one.kernel, one.device).cmp(&(&other.kernel, other.device)));
    findings
}

/// A row for each kernel, a column for each device.
fn table(findings: &[Findings]) -> String {
    let mut text = String::from(
        "Of each cell: instructions of a packet of 16 bytes (of a pair, backward) where the kernel reads and where it writes; loads of 16
bytes on their way before one is used; fences; registers of a thread, and warps that they leave a multiprocessor. In the
plain form, counted as `tests/ptxas/loops.rs` says, except for the fences, which are those of all forms.\n\n| kernel |",
    );
    for device in devices() {
        write!(text, " {}.{} |", device / 10, device % 10).expect("a string takes everything");
    }
    write!(text, "\n|---|{}", "---|".repeat(devices().count())).expect("a string takes everything");
    for of_kernel in findings.chunk_by(|one, other| one.kernel == other.kernel) {
        write!(text, "\n| `{}` |", of_kernel[0].kernel).expect("a string takes everything");
        for found in of_kernel {
            let [reads, writes] = found.instructions_of_a_packet();
            write!(
                text,
                " {reads:.0} + {writes:.0}; {}; {}; {}, {} |",
                found.loads_in_flight(),
                found.fences,
                found.registers,
                found.occupancy(),
            )
            .expect("a string takes everything");
        }
    }
    text + "\n"
}

/// Writes the section of that heading anew.
fn record(table: &str) {
    const HEADING: &str = "## Machine code\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/kernels.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(HEADING).unwrap_or((&text, ""));
    let after = rest.find("\n## ").map_or("", |end| &rest[end..]);
    fs::write(&path, format!("{before}{HEADING}\n{table}{after}")).unwrap();
}

#[test]
fn fused_kernels_are_fast_by_their_machine_code() {
    if EMBEDDED.is_empty() {
        eprintln!("skipped: {SEARCH_LOG}");
        return;
    }
    let nvdisasm = match disassembler::find() {
        Ok(nvdisasm) => nvdisasm,
        Err(reason) => {
            eprintln!("skipped: {reason}");
            return;
        }
    };
    let findings = findings(&nvdisasm);
    let table = table(&findings);
    println!("{table}");
    if env::var_os("BATCHNORM_RECORD_MACHINE_CODE").is_some() {
        record(&table);
    }
    assert!(
        !findings.is_empty(),
        "there is no kernel of a whole pass in the build"
    );
    let of_kernels = findings.iter().flat_map(Findings::faults);
    let faults: Vec<String> = of_kernels.chain(model::faults(&findings)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
