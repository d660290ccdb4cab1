//! The rows of GPU 0, by the benchmark of GPUs: none where there is none.

use std::error::Error;

use cuda_machine::machine::Machine;
use workload::gpu::ceilings;
use workload::gpu::rows;

use super::{Kind, Row};

pub(super) fn rows(shape: batchnorm::Shape) -> Result<Vec<Row>, Box<dyn Error>> {
    // Why there is none has been said before.
    let Ok(machine) = Machine::open() else {
        return Ok(Vec::new());
    };
    let measured = rows::measure::<f32>(&machine, shape)?;
    let find = |pass| {
        let row = measured.iter().find(|row| row.pass == pass);
        row.ok_or_else(|| format!("the benchmark has no pass {pass}"))
    };
    let (forward, backward) = (find("forward")?, find("backward")?);
    let limit = ceilings::measure(&machine)?.limit();
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
