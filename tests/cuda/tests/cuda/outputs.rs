//! What came out of a forward and a backward pass, and arrays that make every kernel come out.

use batchnorm::backend::Memory;
use batchnorm::{Cuda, Element, Result, Shape};
use cuda_machine::arrays::{Arrays, Work};
use cuda_machine::machine::Machine;

/// Bytes of a value of the largest type, in each of the arrays of two sets.
const VALUE_BYTES: usize = 2 * 6 * size_of::<f64>();

/// Shapes that take each way there is to cut the work, on any GPU; those that it has room for.
pub(crate) fn shapes(machine: &Machine, check: &str) -> Vec<Shape> {
    let mut shapes = all_shapes();
    shapes.retain(|shape| crate::has_room(machine, shape.len() * VALUE_BYTES, check));
    shapes
}

fn all_shapes() -> Vec<Shape> {
    let first = |dims: &[usize]| Shape::channels_first(dims).expect("a shape");
    let last = |dims: &[usize]| Shape::channels_last(dims).expect("a shape");
    vec![
        first(&[2, 8, 4, 4]),
        first(&[32, 128, 28, 28]),
        first(&[32, 64, 56, 56]),
        first(&[64, 24, 113, 111]),
        first(&[256, 40, 7, 7]),
        last(&[4096, 1024]),
        last(&[32, 28, 28, 128]),
        last(&[64, 111, 113, 24]),
        last(&[65_536, 64]),
    ]
}

/// Everything that some passes write.
#[derive(Debug, PartialEq)]
pub(crate) struct Outputs<T: Element> {
    values: Vec<Vec<T>>,
    per_channel: [Vec<T::Compute>; 6],
}

impl<T: Element> Outputs<T> {
    pub(crate) fn of(works: &[Work], gpu: &Cuda, arrays: &Arrays<T>) -> Result<Self> {
        let values = |array| gpu.download::<T>(Cuda::as_slice(array));
        let per_channel = |array| gpu.download::<T::Compute>(Cuda::as_slice(array));
        let [mean, mean_low, variance, inv_std] = &arrays.statistics;
        let mut written = vec![values(&arrays.y)?, values(&arrays.dx)?];
        if works.contains(&Work::BackwardAddRelu) {
            written.push(values(&arrays.dresidual)?);
        }
        Ok(Self {
            values: written,
            per_channel: [
                per_channel(mean)?,
                per_channel(mean_low)?,
                per_channel(variance)?,
                per_channel(inv_std)?,
                per_channel(&arrays.dgamma)?,
                per_channel(&arrays.dbeta)?,
            ],
        })
    }

    /// Not what memory that nothing was written to has.
    pub(crate) fn assert_written(&self) {
        for array in &self.values {
            assert!(array.iter().any(|value| value.to_f64() != 0.0));
        }
        for array in [0, 2, 3, 4, 5].map(|which| &self.per_channel[which]) {
            assert!(array.iter().all(|value| value.to_f64() != 0.0));
        }
    }
}

/// A training step.
pub(crate) const PLAIN: &[Work] = &[Work::ForwardTraining, Work::BackwardTraining];
/// A training step with a residual and ReLU.
pub(crate) const FUSED: &[Work] = &[Work::ForwardAddRelu, Work::BackwardAddRelu];
/// The passes with statistics that stay, after one that makes them.
pub(crate) const RUNNING: &[Work] = &[Work::ForwardTraining, Work::Inference, Work::BackwardFrozen];

/// Puts some passes into the stream, one after the other.
pub(crate) fn start<T: Element>(works: &[Work], gpu: &Cuda, arrays: &mut Arrays<T>) -> Result<()> {
    works.iter().try_for_each(|work| work.start(gpu, arrays))
}
