//! The bits of every pass on a GPU are those that the same kernels have on the processor, which `kernels/simt/tests/bits/simt.txt`
//! keeps as checksums: only what is no number may be another one.

use batchnorm::gpu::plan::Tuning;
use bits_suite::cases;
use bits_suite::gpu::{COLUMNS, SCOPE, names};
use bits_suite::table::{self, Run};

/// With the program, which may run where this source is not.
const TABLE: &str = include_str!("../../../../kernels/simt/tests/bits/simt.txt");

fn hold(column: &str) {
    let Some(gpu) = crate::gpu(column) else {
        return;
    };
    let column = COLUMNS.into_iter().find(|of| of.name == column);
    let column = column.expect("a column of the table");
    let tuning = Tuning::parse(column.tuning).expect("settings of the plan");
    let run = Run {
        by: format!("{gpu}, {}", column.name),
        column: column.name,
        checksums: cases::checksums(&gpu.planned_for(column.device, tuning), &SCOPE),
    };
    table::compare("the SIMT host", TABLE, &names(), &[run]);
}

macro_rules! columns_of_the_table {
    ($($column:ident),*) => {
        $(#[test] fn $column() { hold(stringify!($column)); })*

        #[test]
        fn every_column_is_held() {
            assert_eq!(names(), [$(stringify!($column)),*]);
        }
    };
}

columns_of_the_table!(
    planned,
    planned_for_tiny,
    split,
    on_chip,
    ticketed,
    pipelined,
    persistent
);
