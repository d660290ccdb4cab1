//! What was planned before plans were chosen by predicted time, and the kernels that it was planned for.

use std::collections::HashMap;

use batchnorm::gpu::plan::Tuning;
use batchnorm::gpu::plan::cost::constants::{Constant, KERNELS, KernelConstants, Status};

/// A row: device, dimensions, layout, type, pass.
pub(crate) type Row = [String; 5];

/// What to tell a plan so that it is the one of that time, by row.
pub(crate) fn plans() -> HashMap<Row, (Tuning, String)> {
    let text = include_str!("before.csv");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.records().map(|record| {
        let record = record.expect("a table");
        let row: Vec<String> = record.iter().map(str::to_owned).collect();
        let [key @ .., told] = row.as_slice() else {
            panic!("an empty line");
        };
        let key: Row = key.to_vec().try_into().expect("five columns and the plan");
        let tuning = Tuning::parse(&told.replace(' ', ",")).expect("a plan");
        // More there were not, though a block had a multiprocessor alone.
        let tuning = tuning.threads(256).expect("a number of threads");
        (key, (tuning, told.clone()))
    });
    rows.collect()
}

/// The kernels as they were read in machine code then: rows kept one at a time, 300 instructions for a packet of planes of
/// a 16-bit type, 150 of them at half rate, and tickets that order memory.
pub(crate) fn kernels() -> KernelConstants {
    let counted = |value: f64, like: Constant| Constant {
        value,
        source: "read in machine code",
        status: Status::Predicted,
        ..like
    };
    let [forward, backward] = KERNELS.plane_issue;
    let [rows_forward, rows_backward] = KERNELS.resident_loads;
    KernelConstants {
        resident_loads: [counted(1.0, rows_forward), counted(1.0, rows_backward)],
        plane_issue: [counted(450.0, forward), counted(560.0, backward)],
        column_issue: [counted(250.0, forward), counted(330.0, backward)],
        ticket: counted(1600.0, KERNELS.ticket),
        ..KERNELS
    }
}
