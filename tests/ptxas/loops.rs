//! The loops of a kernel that packets go through, and what a packet costs in them.
//!
//! A loop is what lies between a branch backwards and its target; those that have a packet's loads or stores in them, and
//! no such loop inside, are looked at. A loop *writes* if it stores packets in global memory, *copies* if packets go from
//! there to shared memory and pass no register, and else *reads*. Instructions of a packet are those of the loop, each counted
//! once, by the number of packets of a turn: those it stores in global memory or keeps in shared memory, or else copies or
//! loads. A kernel has its loops once for each form that it is compiled in (`kernels/forms.cuh`); the one that takes the fewest
//! instructions is its plain form's.

use crate::disassembler::{Listing, operation};

/// Words that name 16 bytes of global and of shared memory, loaded and stored.
fn is(text: &str, name: &str) -> bool {
    let operation = operation(text);
    operation.split('.').next() == Some(name) && operation.contains(".128")
}

/// One of a kernel's loops.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loop {
    pub writes: bool,
    pub copies: bool,
    pub instructions: usize,
    /// Of these, those that a multiprocessor takes two clocks for.
    pub half_rate: usize,
    /// Of a turn: arrays that are read together count as one packet.
    pub packets: usize,
    /// The most loads of packets from global memory that are issued before any of them is used, or any packet is stored; no
    /// more than a turn has packets, of which each may be loaded in one of two places, as the caches are to keep it or not.
    pub loads_in_flight: usize,
    pub calls: usize,
}

impl Loop {
    pub(crate) fn instructions_of_a_packet(&self) -> f64 {
        self.instructions as f64 / self.packets as f64
    }

    /// One for an instruction, two for one at half rate.
    pub(crate) fn issue_slots_of_a_packet(&self) -> f64 {
        (self.instructions + self.half_rate) as f64 / self.packets as f64
    }
}

/// Where a kernel that copies packets to shared memory reads them.
const SHARED_LOAD: &str = "LDS";
/// A copy from global to shared memory.
const COPY: &str = "LDGSTS";

/// The loops of a kernel that reads so many arrays together.
pub(crate) fn of(listing: &Listing, arrays: usize) -> Vec<Loop> {
    // Others read sums as large as packets from shared memory.
    let copies = listing.instructions.iter().any(|text| is(text, COPY));
    let names: &[&str] = if copies {
        &["LDG", "STG", COPY, SHARED_LOAD]
    } else {
        &["LDG", "STG"]
    };
    let has_packets = |body: &[String]| {
        body.iter()
            .any(|text| names.iter().any(|name| is(text, name)))
    };
    let backwards = (0..listing.instructions.len()).filter_map(|end| {
        let begin = listing.target(end)?;
        (begin <= end && has_packets(&listing.instructions[begin..=end])).then_some((begin, end))
    });
    let all: Vec<(usize, usize)> = backwards.collect();
    let innermost = all.iter().filter(|&&(begin, end)| {
        !all.iter()
            .any(|&(from, to)| begin <= from && to <= end && (from, to) != (begin, end))
    });
    innermost
        .map(|&(begin, end)| measure(&listing.instructions[begin..=end], arrays))
        .collect()
}

/// Whether a multiprocessor of 9.0 has 64 results of it a clock, and 128 of the others: integers, logic, comparisons and conversions
/// (CUDA's programming guide, throughput of arithmetic instructions).
fn is_half_rate(text: &str) -> bool {
    const NAMES: [&str; 25] = [
        "BMSK",
        "F2F",
        "F2FP",
        "F2I",
        "FMNMX",
        "FSEL",
        "FSETP",
        "I2F",
        "I2FP",
        "IABS",
        "IADD3",
        "IMAD",
        "IMNMX",
        "ISETP",
        "LEA",
        "LOP3",
        "PLOP3",
        "PRMT",
        "SEL",
        "SGXT",
        "SHF",
        "VIADD",
        "VIADDMNMX",
        "VIMNMX",
        "VOTE",
    ];
    let name = operation(text).split('.').next().unwrap_or("");
    NAMES.contains(&name)
}

fn measure(body: &[String], arrays: usize) -> Loop {
    let count = |name| body.iter().filter(|text| is(text, name)).count();
    let (loaded, stored, kept) = (count("LDG"), count("STG"), count("STS"));
    let (copied, from_shared) = (count(COPY), count(SHARED_LOAD));
    let packets = if stored > 0 {
        stored
    } else {
        let of_each_kind = [kept, copied, loaded, from_shared];
        of_each_kind.into_iter().find(|&some| some > 0).unwrap_or(0) / arrays
    };
    Loop {
        writes: stored > 0,
        copies: copied > 0,
        instructions: body.len(),
        half_rate: body.iter().filter(|text| is_half_rate(text)).count(),
        packets: packets.max(1),
        // Nothing in the loop waits for what is copied.
        loads_in_flight: copied.max(loads_in_flight(body).min(packets * arrays)),
        calls: body
            .iter()
            .filter(|text| operation(text).starts_with("CALL"))
            .count(),
    }
}

fn loads_in_flight(body: &[String]) -> usize {
    let (mut most, mut loaded) = (0, Vec::new());
    for text in body {
        if is(text, "LDG") {
            loaded.push(first_register(text));
            most = most.max(loaded.len());
        } else if is(text, "STS")
            || is(text, "STG")
            || registers(text).any(|used| belongs(used, &loaded))
        {
            loaded.clear();
        }
    }
    most
}

/// Whether a register is one of the four that a load from here on brings.
fn belongs(register: usize, loaded: &[Option<usize>]) -> bool {
    loaded
        .iter()
        .flatten()
        .any(|&first| (first..first + 4).contains(&register))
}

fn first_register(text: &str) -> Option<usize> {
    registers(text).next()
}

fn registers(text: &str) -> impl Iterator<Item = usize> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter_map(|word| word.strip_prefix('R')?.parse().ok())
}

#[test]
fn a_loop_is_measured() {
    let instructions = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    let batch = "LDG.E.EF.128 R4, desc[UR4][R2.64]
IADD3 R2, R2, R40, RZ
LDG.E.EF.128 R8, desc[UR4][R2.64]
FADD R20, R4, R21
STS.128 [R30], R4
STS.128 [R31], R8
@P0 BRA `(.L_x_1)";
    let reads = measure(&instructions(batch), 1);
    assert_eq!(
        (reads.writes, reads.packets, reads.loads_in_flight),
        (false, 2, 2)
    );
    assert_eq!(reads.instructions_of_a_packet(), 3.5);
    assert_eq!(reads.issue_slots_of_a_packet(), 4.0);
    let copies = measure(
        &instructions(
            "LDGSTS.E.BYPASS.128 [R4], desc[UR4][R2.64]
IADD3 R4, R4, R40, RZ
LDGSTS.E.BYPASS.128 [R4], desc[UR4][R6.64]
@P0 BRA `(.L_x_1)",
        ),
        2,
    );
    assert_eq!(
        (copies.copies, copies.packets, copies.loads_in_flight),
        (true, 1, 2)
    );
    // Each store waits for its load.
    let one_by_one = "LDG.E.128 R4, desc[UR4][R2.64]
STS.128 [R30], R4
LDG.E.128 R8, desc[UR4][R2.64]
STS.128 [R31], R8";
    assert_eq!(measure(&instructions(one_by_one), 1).loads_in_flight, 1);
    let used = "LDG.E.128 R4, desc[UR4][R2.64]
FADD R20, R7, R21
LDG.E.128 R8, desc[UR4][R2.64]
STG.E.EF.128 desc[UR4][R2.64], R8";
    let writes = measure(&instructions(used), 1);
    assert_eq!(
        (writes.writes, writes.packets, writes.loads_in_flight),
        (true, 1, 1)
    );
}
