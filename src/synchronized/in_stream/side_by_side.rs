//! What a rank sends: its arrays, in one run of memory.

use crate::backend::memory::Memory;
use crate::element::Compute;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::driver::Driver;

/// Arrays of one value per channel, one after the other.
pub(super) fn side_by_side<C: Compute, D: Driver>(
    gpu: &Gpu<D>,
    arrays: &[D::Slice<'_, C>],
) -> Result<D::Buffer<C>> {
    let lens = arrays.iter().map(D::len::<C>);
    let mut all = gpu.unspecified::<C>(lens.sum())?;
    let mut start = 0;
    for array in arrays {
        let end = start + D::len::<C>(array);
        let mut to = D::as_slice_mut(&mut all);
        let to = D::subslice_mut::<C>(&mut to, start..end)?;
        gpu.copy::<C>(D::shorten::<C>(*array), to)?;
        start = end;
    }
    Ok(all)
}
