//! The passes on GPU 0, by the benchmark of GPUs. The limit is the fastest copy within the GPU's memory, measured first.

use std::error::Error;

use cuda_machine::arrays::Work;
use cuda_machine::machine::Machine;
use tables::spread::Spread;
use workload::gpu::ceilings;
use workload::gpu::rows::{self, Bench};
use workload::gpu::wanted::{WORKS, Wanted};
use workload::passes::Pass;

use crate::options::Options;
use crate::row::Row;

/// The rows that the options ask for and the benchmark has.
pub(crate) fn rows(options: &Options) -> Result<Vec<Row>, Box<dyn Error>> {
    let machine = Machine::open()?;
    let limit = ceilings::copy_limit(&machine)?;
    let bench = Bench::new(&machine, rows::CALLS)?;
    let passes = options.passes();
    let works = WORKS.into_iter();
    let works: Vec<_> = works
        .filter(|(work, _)| passes.contains(&pass(*work)))
        .collect();
    let (mut found, mut missing) = (Vec::new(), None);
    for dtype in &options.dtype {
        for shape in options.shapes()? {
            let wanted = Wanted {
                shape,
                dtype: dtype.of_library(),
                works: works.clone(),
            };
            bench.measure(&wanted, |row| match row {
                Ok(row) => found.push(row),
                Err(without) => missing = Some(format!("{shape}, {dtype:?}: {}", without.why)),
            });
        }
    }
    if let Some(missing) = missing {
        return Err(missing.into());
    }
    let named = |row: rows::Row| {
        let (work, _) = WORKS.iter().find(|(_, name)| *name == row.pass)?;
        Some(row_of(&machine, pass(*work), row, limit))
    };
    Ok(found.into_iter().filter_map(named).collect())
}

fn pass(work: Work) -> Pass {
    match work {
        Work::ForwardTraining => Pass::ForwardTraining,
        Work::Inference => Pass::Inference,
        Work::ForwardAddRelu => Pass::ForwardTrainingAddRelu,
        Work::BackwardTraining => Pass::Backward,
        Work::BackwardFrozen => Pass::BackwardFrozen,
        Work::BackwardAddRelu => Pass::BackwardAddRelu,
    }
}

fn row_of(machine: &Machine, pass: Pass, row: rows::Row, limit: f64) -> Row {
    let limit = row.bytes as f64 / limit;
    let cache = machine.gpu.attributes().l2_bytes as usize;
    Row {
        device: machine.gpu.to_string(),
        level: None,
        threads: None,
        dims: row.dims,
        layout: row.layout,
        dtype: row.dtype,
        pass: pass.name(),
        bytes: row.bytes,
        // Below that, the sets of arrays that take turns fit the second-level cache together.
        cached: row.bytes < cache / 16,
        seconds: Spread {
            low: row.least,
            median: row.seconds,
            high: row.most,
        },
        limit_seconds: Spread::of([limit]),
        limit_way: "copy of 1 GiB".into(),
        share: Spread {
            low: limit / row.most,
            median: limit / row.seconds,
            high: limit / row.least,
        },
    }
}
