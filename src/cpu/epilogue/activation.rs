//! Every activation on vectors: y from v, the bit that is saved of v, and dv from dy and either.
//!
//! With `computed.rs`, which has the formulas of those that take more than a choice, the one file of the processor's kernels to edit for a
//! new activation. Which activation it is does not change in a loop, and is asked in it all the same: through [`opaque`], which says why.

use crate::backend::activation::Activation;
use crate::cpu::epilogue::computed::{BackwardOfEach, ForwardOfEach, InverseOfEach};
use crate::cpu::simd::Simd;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::numeric::Numeric;

/// An activation, as the kernels compute it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VectorActivation {
    activation: Activation,
}

impl VectorActivation {
    pub(crate) fn new(activation: Activation) -> Self {
        Self { activation }
    }

    /// Whether dv depends on v: where it does not, dv is dy.
    pub(crate) fn depends_on_v(self) -> bool {
        !matches!(self.activation, Activation::None)
    }

    /// y from v, in place.
    #[cfg_attr(not(unoptimized), inline(always))]
    pub(crate) fn forward<S: Simd, T: SimdElement, const A: usize, const L: usize>(
        self,
        simd: S,
        v: &mut [[T::Vector<S>; A]; L],
    ) {
        if opaque(self.is_computed()) {
            self.forward_of_each::<S, T, A, L>(simd, v);
            return;
        }
        if opaque(self.is_cut_at_zero()) {
            for l in 0..L {
                for i in 0..A {
                    v[l][i] = v[l][i].relu();
                }
            }
            if opaque(self.is_cut_at_six()) {
                let six = T::splat(simd, T::Scalar::nearest(6.0));
                for l in 0..L {
                    for i in 0..A {
                        v[l][i] = v[l][i].blend(six.compare_mask(v[l][i]), six);
                    }
                }
            }
        } else if opaque(self.slope().is_some()) {
            let (zero, slope) = (
                T::splat(simd, T::Scalar::default()),
                self.slopes::<S, T>(simd),
            );
            for l in 0..L {
                for i in 0..A {
                    let above = v[l][i].compare_mask(zero);
                    v[l][i] = v[l][i].blend(above, v[l][i].mul(slope));
                }
            }
        }
    }

    #[inline(always)]
    fn forward_of_each<S: Simd, T: SimdElement, const A: usize, const L: usize>(
        self,
        simd: S,
        v: &mut [[T::Vector<S>; A]; L],
    ) {
        let mut values = [[[T::Scalar::default(); LANES]; A]; L];
        for l in 0..L {
            for i in 0..A {
                v[l][i].write(&mut values[l][i]);
            }
        }
        simd.apart(ForwardOfEach {
            activation: self.activation,
            v_to_y: values.as_flattened_mut(),
        });
        for l in 0..L {
            for i in 0..A {
                v[l][i] = T::load_compute(simd, &values[l][i]);
            }
        }
    }

    /// The bits to be saved of v: through which values, as they are stored, dy passes.
    #[inline(always)]
    pub(crate) fn mask<S: Simd, T: SimdElement>(self, simd: S, v: T::Vector<S>) -> u16 {
        let mut passes = v.compare_mask(T::splat(simd, T::ROUNDS_TO_ZERO));
        if opaque(self.is_cut_at_six()) {
            passes &= T::splat(simd, T::ROUNDS_TO_SIX).compare_mask(v);
        }
        passes
    }

    /// dv from dy and the bits of v.
    #[inline(always)]
    pub(crate) fn backward_from_mask<S: Simd, T: SimdElement>(
        self,
        simd: S,
        dy: T::Vector<S>,
        mask: u16,
    ) -> T::Vector<S> {
        debug_assert!(self.depends_on_v());
        if opaque(self.slope().is_some()) {
            dy.blend(mask, dy.mul(self.slopes::<S, T>(simd)))
        } else {
            // Chosen, not multiplied: zero times infinity would be NaN.
            dy.mask_and(mask)
        }
    }

    /// dv from dy, in place, and v.
    #[cfg_attr(not(unoptimized), inline(always))]
    pub(crate) fn backward<S: Simd, T: SimdElement, const A: usize>(
        self,
        simd: S,
        dy: &mut [T::Vector<S>; A],
        v: [T::Vector<S>; A],
    ) {
        if opaque(self.is_computed()) {
            let mut dy_to_dv = [[T::Scalar::default(); LANES]; A];
            let mut values = dy_to_dv;
            for i in 0..A {
                dy[i].write(&mut dy_to_dv[i]);
                v[i].write(&mut values[i]);
            }
            simd.apart(BackwardOfEach {
                activation: self.activation,
                dy_to_dv: &mut dy_to_dv,
                v: &values,
            });
            for i in 0..A {
                dy[i] = T::load_compute(simd, &dy_to_dv[i]);
            }
        } else {
            for i in 0..A {
                let passes = self.mask::<S, T>(simd, v[i]);
                dy[i] = self.backward_from_mask::<S, T>(simd, dy[i], passes);
            }
        }
    }

    /// v from y, in place, and dv from dy. There are no more of these than have an inverse.
    #[cfg_attr(not(unoptimized), inline(always))]
    pub(crate) fn inverse<S: Simd, T: SimdElement, const A: usize>(
        self,
        simd: S,
        dy: &mut [T::Vector<S>; A],
        y: &mut [T::Vector<S>; A],
    ) {
        if opaque(self.is_computed()) {
            let mut dy_to_dv = [[T::Scalar::default(); LANES]; A];
            let mut y_to_v = dy_to_dv;
            for i in 0..A {
                dy[i].write(&mut dy_to_dv[i]);
                y[i].write(&mut y_to_v[i]);
            }
            simd.apart(InverseOfEach {
                activation: self.activation,
                dy_to_dv: &mut dy_to_dv,
                y_to_v: &mut y_to_v,
                roundoff: T::ROUNDOFF,
            });
            for i in 0..A {
                dy[i] = T::load_compute(simd, &dy_to_dv[i]);
                y[i] = T::load_compute(simd, &y_to_v[i]);
            }
        } else if opaque(self.slope().is_some()) {
            let slope = self.slope().unwrap_or_default();
            let inverse = 1.0 / T::Scalar::nearest(slope).value();
            let (zero, inverse) = (
                T::splat(simd, T::Scalar::default()),
                T::splat(simd, T::Scalar::nearest(inverse)),
            );
            for i in 0..A {
                let above = y[i].compare_mask(zero);
                dy[i] = dy[i].blend(above, dy[i].mul(self.slopes::<S, T>(simd)));
                y[i] = y[i].blend(above, y[i].mul(inverse));
            }
        }
    }

    /// Whether it takes more than a choice.
    #[inline(always)]
    fn is_computed(self) -> bool {
        match self.activation {
            Activation::None
            | Activation::Relu
            | Activation::Relu6
            | Activation::LeakyRelu { .. } => false,
            Activation::Elu { .. }
            | Activation::Hardswish
            | Activation::Sigmoid
            | Activation::Tanh
            | Activation::Silu
            | Activation::Gelu
            | Activation::GeluTanh => true,
        }
    }

    #[inline(always)]
    fn is_cut_at_zero(self) -> bool {
        matches!(self.activation, Activation::Relu | Activation::Relu6)
    }

    #[inline(always)]
    fn is_cut_at_six(self) -> bool {
        matches!(self.activation, Activation::Relu6)
    }

    /// The slope below zero, where it is a constant of the layer's.
    #[inline(always)]
    fn slope(self) -> Option<f64> {
        match self.activation {
            Activation::LeakyRelu { slope } => Some(slope),
            _ => None,
        }
    }

    #[inline(always)]
    fn slopes<S: Simd, T: SimdElement>(self, simd: S) -> T::Vector<S> {
        T::splat(simd, T::Scalar::nearest(self.slope().unwrap_or_default()))
    }
}
