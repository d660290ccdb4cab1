//! The rows of GPU 0, by the benchmark of GPUs: none where there is none.

use std::error::Error;

use batchnorm::DType;
use cuda_machine::machine::Machine;
use workload::gpu::ceilings;
use workload::gpu::rows::{Bench, CALLS};
use workload::gpu::wanted::{WORKS, Wanted};

use super::{Kind, Row};

pub(super) fn rows(shape: batchnorm::Shape) -> Result<Vec<Row>, Box<dyn Error>> {
    // Why there is none has been said before.
    let Ok(machine) = Machine::open() else {
        return Ok(Vec::new());
    };
    let wanted = Wanted {
        shape,
        dtype: DType::F32,
        works: WORKS[..2].to_vec(),
    };
    let (mut measured, mut missing) = (Vec::new(), None);
    Bench::new(&machine, CALLS)?.measure(&wanted, |row| match row {
        Ok(row) => measured.push(row),
        Err(without) => missing = Some(without.why),
    });
    if let Some(missing) = missing {
        return Err(missing.into());
    }
    let find = |pass| {
        let row = measured.iter().find(|row| row.pass == pass);
        row.ok_or_else(|| format!("the benchmark has no pass {pass}"))
    };
    let (forward, backward) = (find("forward")?, find("backward")?);
    let limit = ceilings::copy_limit(&machine)?;
    let device = machine.gpu.to_string();
    Ok(vec![
        Row {
            kind: Kind::BatchNorm,
            device: device.clone(),
            forward: forward.seconds,
            backward: backward.seconds,
        },
        Row {
            kind: Kind::Limit,
            device,
            forward: forward.bytes as f64 / limit,
            backward: backward.bytes as f64 / limit,
        },
    ])
}
