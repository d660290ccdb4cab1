//! How many threads and blocks a kernel is written for: its launch bounds, as its PTX has them.

use std::collections::HashMap;

use crate::assembler::Usage;

/// 32-bit registers of a multiprocessor, of every GPU since Kepler.
const REGISTERS: u32 = 65536;
/// Registers are given to threads by so many.
const GRANULE: u32 = 8;

/// The launch bounds of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    threads: u32,
    blocks: u32,
}

impl Bounds {
    /// The most registers of a thread with which so many blocks fit a multiprocessor.
    fn registers(self) -> u32 {
        REGISTERS / (self.threads * self.blocks) / GRANULE * GRANULE
    }

    pub(crate) fn faults(self, usage: &Usage) -> Vec<String> {
        let Usage {
            kernel,
            registers,
            stack_bytes,
            spilled_bytes,
            ..
        } = usage;
        let mut faults = Vec::new();
        if *spilled_bytes > 0 {
            faults.push(format!("{kernel} spills {spilled_bytes} bytes"));
        }
        if *stack_bytes > 0 {
            faults.push(format!("{kernel} has a stack of {stack_bytes} bytes"));
        }
        if *registers > self.registers() {
            let Bounds { threads, blocks } = self;
            let most = self.registers();
            faults.push(format!(
                "{kernel} takes {registers} registers, but {blocks} blocks of {threads} threads leave {most}"
            ));
        }
        faults
    }
}

/// The bounds of every kernel of a text.
pub(crate) fn of(ptx: &str) -> HashMap<String, Bounds> {
    let mut bounds = HashMap::new();
    for entry in ptx.split(".visible .entry ").skip(1) {
        let (name, rest) = entry.split_once('(').expect("an entry has parameters");
        let head = rest.split('{').next().expect("what is before the body");
        let number = |directive: &str| -> Option<u32> {
            let after = head.split(directive).nth(1)?;
            after
                .split([',', '\n', ' '])
                .find(|word| !word.is_empty())?
                .parse()
                .ok()
        };
        let threads = number(".maxntid").unwrap_or_else(|| panic!("{name} has no launch bounds"));
        let blocks = number(".minnctapersm").unwrap_or(1);
        bounds.insert(name.to_owned(), Bounds { threads, blocks });
    }
    bounds
}

#[test]
fn faults_are_found() {
    let ptx = ".visible .entry k(\n.param .u64 a\n)\n.maxntid 256, 1, 1\n.minnctapersm 3\n{\n}\n";
    let bounds = of(ptx)["k"];
    assert_eq!(
        bounds,
        Bounds {
            threads: 256,
            blocks: 3
        }
    );
    // 65536 / 768 is 85.3, of which only 80 can be given.
    let usage = |registers| Usage {
        kernel: "k".to_owned(),
        registers,
        ..Usage::default()
    };
    assert!(bounds.faults(&usage(80)).is_empty());
    assert_eq!(bounds.faults(&usage(81)).len(), 1);
    let spills = Usage {
        spilled_bytes: 4,
        stack_bytes: 8,
        ..usage(80)
    };
    assert_eq!(bounds.faults(&spills).len(), 2);
}
