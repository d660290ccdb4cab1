//! The moments of a tile, as good as the data type allows.

use crate::cpu::Cpu;
use crate::cpu::kernels::KernelElement;
use crate::cpu::kernels::centred_statistics::{CentredMoments, Centres};
use crate::cpu::kernels::statistics::TileMoments;
use crate::cpu::reduce::moments::Moments;

/// The moments of a tile's channels, which may have been taken while the tile before was written. Where they are doubtful the
/// tile is read again, twice at most: about its mean, then on a scale on which squares are in range.
pub(crate) fn of_tile<T: KernelElement>(
    cpu: &Cpu,
    of: TileMoments<'_, T>,
    taken: Option<Moments>,
) -> Moments {
    let mut moments = taken.unwrap_or_else(|| T::moments(cpu, of));
    let mut before = None;
    for _ in 0..2 {
        if !moments.are_doubtful() {
            break;
        }
        let Some(centres) = Centres::of::<T::Scalar>(&moments, before.as_ref()) else {
            break;
        };
        let centred = CentredMoments {
            of,
            centres: &centres,
        };
        moments.replace_doubtful(&T::centred_moments(cpu, centred));
        before = Some(centres);
    }
    moments
}
