//! The passes captured in a graph give the same bits when it is replayed, on the values that the arrays then have.

use batchnorm::backend::Memory;
use batchnorm::{Cuda, Element, Result, Shape};
use cuda_machine::arrays::{Arrays, Work};
use cuda_machine::machine::Machine;
use half::{bf16, f16};

use crate::outputs::{FUSED, Outputs, PLAIN, RUNNING, shapes, start};

/// Up to so many values, in every data type. What a graph holds does not depend on the type, and the time goes into
/// copies to the processor: of all shapes in two types these are 5 GB.
const EVERY_TYPE: usize = 1 << 20;

#[test]
fn a_replayed_graph_gives_the_same_bits() {
    let check = "a_replayed_graph_gives_the_same_bits";
    let Some(machine) = crate::machine(check) else {
        return;
    };
    for shape in shapes(&machine, check) {
        for works in [PLAIN, FUSED, RUNNING] {
            replay::<f32>(&machine, shape, works).unwrap();
            replay::<f16>(&machine, shape, works).unwrap();
            if shape.len() <= EVERY_TYPE {
                replay::<bf16>(&machine, shape, works).unwrap();
                replay::<f64>(&machine, shape, works).unwrap();
            }
        }
    }
}

fn replay<T: Element>(machine: &Machine, shape: Shape, works: &[Work]) -> Result<()> {
    let gpu = &machine.gpu;
    let mut arrays = Arrays::<T>::new(gpu, shape, 1)?;
    let graph = machine.capture(|| start(works, gpu, &mut arrays))?;
    let mut direct = Arrays::<T>::new(gpu, shape, 11)?;
    start(works, gpu, &mut direct)?;
    let expected = Outputs::of(works, gpu, &direct)?;
    expected.assert_written();
    // The same place in memory, with other values.
    copy_inputs(gpu, &direct, &mut arrays)?;
    // The second finds what the first left in the workspace.
    for _ in 0..2 {
        graph.launch().expect("a graph that was captured");
    }
    let found = Outputs::of(works, gpu, &arrays)?;
    assert!(found == expected, "{works:?}, {shape}, {}", T::DTYPE);
    Ok(())
}

/// Copies what passes read.
fn copy_inputs<T: Element>(gpu: &Cuda, from: &Arrays<T>, to: &mut Arrays<T>) -> Result<()> {
    gpu.copy::<T>((&from.x).into(), (&mut to.x).into())?;
    gpu.copy::<T>((&from.dy).into(), (&mut to.dy).into())?;
    gpu.copy::<T>((&from.residual).into(), (&mut to.residual).into())?;
    gpu.copy::<T::Compute>((&from.gamma).into(), (&mut to.gamma).into())?;
    gpu.copy::<T::Compute>((&from.beta).into(), (&mut to.beta).into())
}
