//! The moments of a tile, as good as the data type allows.

use crate::cpu::Cpu;
use crate::cpu::kernels::KernelElement;
use crate::cpu::kernels::centred_statistics::CentredMoments;
use crate::cpu::kernels::kept_statistics::{KeptCentredMoments, KeptMoments};
use crate::cpu::kernels::statistics::{FirstLook, TileMoments};
use crate::cpu::reduce::centres::Centres;
use crate::cpu::reduce::moments::Moments;

/// The moments of a tile's channels, which may have been taken while the tile before was written.
pub(crate) fn of_tile<T: KernelElement>(
    cpu: &Cpu,
    of: TileMoments<'_, T>,
    taken: Option<Moments>,
) -> Moments {
    let first = taken.map_or_else(|| T::moments(cpu, of), FirstLook::Moments);
    settled::<T>(
        first,
        |centres| T::centred_moments(cpu, CentredMoments { of, centres }),
        |channel| sum_of_not_finite(of, channel),
    )
}

/// The moments of what is kept of a tile's channels.
pub(crate) fn of_kept<T: KernelElement>(cpu: &Cpu, of: KeptMoments<'_, T>) -> Moments {
    settled::<T>(
        T::kept_moments(cpu, of),
        |centres| T::kept_centred_moments(cpu, KeptCentredMoments { of, centres }),
        |channel| of.sum_of_not_finite(channel),
    )
}

/// Where moments are doubtful the tile is read again, twice at most: about its mean, and on a scale on which squares are in range.
fn settled<T: KernelElement>(
    first: FirstLook,
    about: impl Fn(&Centres) -> Moments,
    sum_of_not_finite: impl Fn(usize) -> f64,
) -> Moments {
    let (mut moments, mut before) = match first {
        FirstLook::Moments(moments) => (moments, None),
        FirstLook::Centres(centres) => (about(&centres), Some(centres)),
    };
    for _ in 0..2 {
        if moments.are_doubtful() {
            set_not_finite(&mut moments, &sum_of_not_finite);
        }
        if !moments.are_doubtful() {
            break;
        }
        let centres = Centres::of::<T::Scalar>(&moments, before.as_ref());
        moments.replace_doubtful(&about(&centres));
        before = Some(centres);
    }
    moments
}

/// Looks for NaN and infinity in channels without a finite mean: no way of adding helps there, and on another scale the other
/// values would be subnormal numbers, which are slow.
fn set_not_finite(moments: &mut Moments, sum_of_not_finite: impl Fn(usize) -> f64) {
    for c in 0..moments.mean.len() {
        if !moments.mean[c].is_finite() {
            let sum = sum_of_not_finite(c);
            if sum != 0.0 {
                moments.set_not_finite(c, sum);
            }
        }
    }
}

/// The sum of the values of a channel of the tile that are not finite; zero if there are none.
fn sum_of_not_finite<T: KernelElement>(of: TileMoments<'_, T>, channel: usize) -> f64 {
    let TileMoments { view, tile, x } = of;
    let channel = tile.channels(view).start + channel;
    let (start, channels) = (tile.planes.start, view.channels);
    let first = start + (channel + channels - start % channels) % channels;
    let mut sum = 0.0;
    for row in tile.rows.clone() {
        for plane in (first..tile.planes.end).step_by(channels) {
            let span = tile.plane_span(view, row, plane);
            for at in span.start..span.end.min(view.len) {
                let value = x.get(at).value();
                if !value.is_finite() {
                    sum += value;
                }
            }
        }
        if f64::is_nan(sum) {
            break;
        }
    }
    sum
}
