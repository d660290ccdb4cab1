//! Batch renormalization's few numbers of each channel, computed on the host: no kernel does it yet.

use crate::allocate::filled;
use crate::backend::operands::{Normalization, RenormalizedMut, RunningReference};
use crate::element::Compute;
use crate::error::Result;
use crate::gpu::driver::Driver;

/// Reads what it takes, which waits for the stream, and writes what comes of it.
pub(super) fn renormalize<C: Compute, D: Driver>(
    driver: &D,
    with: Normalization<D::Slice<'_, C>>,
    epsilon: f64,
    reference: RunningReference<D::Slice<'_, C>>,
    out: RenormalizedMut<D::SliceMut<'_, C>>,
) -> Result<()> {
    let read = |array| driver.download::<C>(array);
    let (mean, mean_low, inv_std) = (read(with.mean)?, read(with.mean_low)?, read(with.inv_std)?);
    let (old_gamma, old_beta) = (read(with.gamma)?, read(with.beta)?);
    // Of another lifetime.
    let read = |array| driver.download::<C>(array);
    let (running_mean, running_variance) = (read(reference.mean)?, read(reference.variance)?);
    let room = || filled(mean.len(), C::default());
    let [mut gamma, mut beta, mut r, mut d] = [room()?, room()?, room()?, room()?];
    C::renormalize(
        &Normalization {
            mean: &mean[..],
            mean_low: &mean_low[..],
            inv_std: &inv_std[..],
            gamma: &old_gamma[..],
            beta: &old_beta[..],
        },
        epsilon,
        &RunningReference {
            mean: &running_mean[..],
            variance: &running_variance[..],
            r_max: reference.r_max,
            d_max: reference.d_max,
        },
        RenormalizedMut {
            gamma: &mut gamma[..],
            beta: &mut beta[..],
            r: &mut r[..],
            d: &mut d[..],
        },
    )?;
    let write = |values: &[C], out| {
        let uploaded = driver.upload(values)?;
        driver.copy::<C>(D::as_slice(&uploaded), out)
    };
    write(&gamma, out.gamma)?;
    write(&beta, out.beta)?;
    write(&r, out.r)?;
    write(&d, out.d)
}
