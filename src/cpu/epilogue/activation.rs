//! Every activation on vectors: y from v, the bit that is saved of v, and dv from dy and either.
//!
//! The one file of the processor's kernels to edit for a new activation (what its arithmetic needs beside vectors has a file of its
//! own, as `src/logistic.rs`). Which activation it is does not change in a loop, and is asked in it all the same: through [`opaque`],
//! which says why.

use crate::backend::activation::Activation;
use crate::cpu::simd::elements::SimdElement;
use crate::cpu::simd::opaque::opaque;
use crate::cpu::simd::vector::{LANES, Vector};
use crate::cpu::simd::{Kernel, Simd};
use crate::logistic::Logistic;
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
        if opaque(self.is_silu()) {
            for l in 0..L {
                for i in 0..A {
                    v[l][i] = silu::<S, T>(simd, v[l][i]);
                }
            }
            return;
        }
        if opaque(matches!(self.activation, Activation::Relu)) {
            for l in 0..L {
                for i in 0..A {
                    v[l][i] = v[l][i].relu();
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

    /// The bits to be saved of v: which values are above zero as they are stored.
    #[inline(always)]
    pub(crate) fn mask<S: Simd, T: SimdElement>(simd: S, v: T::Vector<S>) -> u16 {
        v.compare_mask(T::splat(simd, T::ROUNDS_TO_ZERO))
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

    /// dv from dy and v.
    #[cfg_attr(not(unoptimized), inline(always))]
    pub(crate) fn backward<S: Simd, T: SimdElement>(
        self,
        simd: S,
        dy: T::Vector<S>,
        v: T::Vector<S>,
    ) -> T::Vector<S> {
        if opaque(self.is_silu()) {
            return silu_backward::<S, T>(simd, dy, v);
        }
        self.backward_from_mask::<S, T>(simd, dy, Self::mask::<S, T>(simd, v))
    }

    #[inline(always)]
    fn is_silu(self) -> bool {
        matches!(self.activation, Activation::Silu)
    }

    /// The slope below zero, where there is one.
    #[inline(always)]
    fn slope(self) -> Option<f64> {
        match self.activation {
            Activation::LeakyRelu { slope } => Some(slope),
            Activation::None | Activation::Relu | Activation::Silu => None,
        }
    }

    #[inline(always)]
    fn slopes<S: Simd, T: SimdElement>(self, simd: S) -> T::Vector<S> {
        T::splat(simd, T::Scalar::nearest(self.slope().unwrap_or_default()))
    }
}

/// `v·σ(v)`.
#[inline(always)]
fn silu<S: Simd, T: SimdElement>(simd: S, v: T::Vector<S>) -> T::Vector<S> {
    let [sigma, _] = logistic::<S, T>(simd, v);
    v.mul(sigma)
}

/// `dy·σ(v)·(1 + v·σ(−v))`.
#[inline(always)]
fn silu_backward<S: Simd, T: SimdElement>(
    simd: S,
    dy: T::Vector<S>,
    v: T::Vector<S>,
) -> T::Vector<S> {
    let [sigma, of_negative] = logistic::<S, T>(simd, v);
    let one = T::splat(simd, T::Scalar::nearest(1.0));
    // Not fused, which not every level and no GPU kernel does here.
    dy.mul(sigma.mul(one.add(v.mul(of_negative))))
}

/// σ(v) and σ(−v).
#[inline(always)]
fn logistic<S: Simd, T: SimdElement>(simd: S, v: T::Vector<S>) -> [T::Vector<S>; 2] {
    let mut sigma = v.to_array();
    let mut of_negative = sigma;
    simd.apart(LogisticOfEach {
        v_to_sigma: &mut sigma,
        of_negative: &mut of_negative,
    });
    [
        T::load_compute(simd, &sigma),
        T::load_compute(simd, &of_negative),
    ]
}

/// σ(v) in place of v, and σ(−v), value by value: compilers make vectors of it.
struct LogisticOfEach<'a, C> {
    v_to_sigma: &'a mut [C; LANES],
    of_negative: &'a mut [C; LANES],
}

impl<C: Logistic> Kernel for LogisticOfEach<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for i in 0..LANES {
            [self.v_to_sigma[i], self.of_negative[i]] = self.v_to_sigma[i].logistic();
        }
    }
}
