//! The bits of every pass on a GPU are those that the same kernels have on the processor, which `kernels/simt/tests/bits/simt.txt`
//! keeps as checksums: only what is no number may be another one.

use batchnorm::gpu::plan::Tuning;
use bits_suite::cases;
use bits_suite::gpu::{SCOPE, WAYS, columns};
use bits_suite::table::{self, Run};

use crate::planned_for::PlannedFor;

/// With the program, which may run where this source is not.
const TABLE: &str = include_str!("../../../../kernels/simt/tests/bits/simt.txt");

fn hold(column: &str) {
    let Some(gpu) = crate::gpu(column) else {
        return;
    };
    let way = WAYS.into_iter().find(|way| way.column == column);
    let way = way.expect("a column of the table");
    let planned = PlannedFor::device(&gpu, way.device);
    let planned = planned.tuned(Tuning::parse(way.told).expect("settings of the plan"));
    let run = Run {
        by: format!("{gpu}, {column}"),
        column: way.column,
        checksums: cases::checksums(&planned, &SCOPE),
    };
    table::compare("the SIMT host", TABLE, &columns(), &[run]);
}

macro_rules! columns_of_the_table {
    ($($column:ident),*) => {
        $(#[test] fn $column() { hold(stringify!($column)); })*

        #[test]
        fn every_column_is_held() {
            assert_eq!(columns(), [$(stringify!($column)),*]);
        }
    };
}

columns_of_the_table!(
    planned,
    planned_for_tiny,
    split,
    on_chip,
    ticketed,
    persistent
);
