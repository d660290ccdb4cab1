//! Second derivatives: the gradients of a scalar that is made of a pass's gradients.

use std::ops::Range;

use crate::arrays::channel_array::ChannelArray;
use crate::arrays::lent::{lent, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut};
use crate::backend::Backend;
use crate::backend::factors::{FACTOR_OF_SECOND_DERIVATIVES, check_products};
use crate::backend::memory::Memory;
use crate::backend::operands::{GradientsOfGradients, SecondGradientsMut};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::layer::checkpointed::CheckpointedPass;
use crate::layer::pass::Pass;
use crate::layer::saved::{Saved, SavedGroup};
use crate::shape::Shape;

/// The gradients of a scalar of a pass's gradients. (Those with respect to β and the residual are zero.)
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SecondGradients<T: Element, B: Backend> {
    /// With respect to dy, of x's shape.
    pub dy: Tensor<T, B>,
    /// With respect to x, of its shape.
    pub input: Tensor<T, B>,
    /// With respect to γ (C,), where the layer has γ.
    pub gamma: Option<ChannelArray<T::Compute, B>>,
}

/// The gradients of a scalar with respect to those of a backward pass.
type Given<'a, T, B> = GradientsOfGradients<
    &'a dyn Data<B, Element = T>,
    &'a ChannelArray<<T as Element>::Compute, B>,
>;

/// Their memory.
type GivenSlices<'a, T, B> = GradientsOfGradients<
    <B as Memory>::Slice<'a, T>,
    <B as Memory>::Slice<'a, <T as Element>::Compute>,
>;

/// The outputs of x's shape, each lent for as long as it is.
pub(crate) struct SecondOutputs<D, X> {
    /// With respect to dy.
    pub(crate) dy: D,
    /// With respect to x.
    pub(crate) x: X,
}

impl<X: Data<B>, B: Backend> Pass<X, B> {
    /// Second derivatives: the backward pass of [`backward`](Self::backward), for a loss that is made of its gradients, as a gradient
    /// penalty is. dy is the one that went backward, `of` has the gradients of that loss with respect to dx, the residual's gradient, dγ
    /// and dβ. The formulas are those of [`Backend::double_backward`]; with ghost batches means are each group's own, and the gradient with
    /// respect to γ is the sum over all of them. Of a batch that was renormalized R and D are constants here too.
    ///
    /// For no activation, ReLU, ReLU6 and leaky ReLU, on the processor.
    ///
    /// ```
    /// use batchnorm::backend::GradientsOfGradients;
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
    /// let cpu = Cpu::new();
    /// let shape = Shape::channels_first(&[4, 1])?;
    /// let x = Tensor::new(&cpu, shape, &[1.0f32, 2.0, 3.0, 6.0])?;
    /// let dy = Tensor::new(&cpu, shape, &[1.0f32, 0.0, 0.0, 0.0])?;
    /// let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(1))?;
    /// let (_, pass) = layer.forward_training(&x)?;
    /// let dx = pass.backward(&dy)?.input;
    ///
    /// // The loss ½·Σ dx², whose gradient with respect to dx is dx.
    /// let second = pass.double_backward(&dy, GradientsOfGradients { input: Some(&dx), ..Default::default() })?;
    /// let loss: f32 = dx.to_vec()?.iter().map(|dx| dx * dx / 2.0).sum();
    /// // dx is proportional to γ, which is 1, so that the loss is to γ².
    /// assert!((second.gamma.unwrap().to_vec()?[0] - 2.0 * loss).abs() < 1e-6);
    /// // And to dy, of which it is a quadratic form too.
    /// assert!((second.dy.to_vec()?[0] - 2.0 * loss).abs() < 1e-6);
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if an array's memory is not that of x, [`Error::Length`] for parameters; [`Error::Residual`] for a gradient
    /// of the residual's where there was none; [`Error::Value`] for a gradient of a parameter that the layer has not, for another
    /// activation, and on a GPU.
    pub fn double_backward<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        of: GradientsOfGradients<&dyn Data<B, Element = T>, &ChannelArray<T::Compute, B>>,
    ) -> Result<SecondGradients<T, B>>
    where
        X: Data<B, Element = T>,
    {
        self.rest.double_backward(&self.x, dy, of)
    }

    /// [`double_backward`](Self::double_backward) into memory of the caller's: what is with respect to dy, and to x. Gives what is with
    /// respect to γ, where the layer has γ.
    ///
    /// # Errors
    /// As [`double_backward`](Self::double_backward).
    pub fn double_backward_into<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        of: GradientsOfGradients<&dyn Data<B, Element = T>, &ChannelArray<T::Compute, B>>,
        of_dy: &mut impl DataMut<B, Element = T>,
        of_x: &mut impl DataMut<B, Element = T>,
    ) -> Result<Option<ChannelArray<T::Compute, B>>>
    where
        X: Data<B, Element = T>,
    {
        self.rest.double_backward_into(&self.x, dy, of, of_dy, of_x)
    }
}

impl<T: Element, B: Backend> CheckpointedPass<T, B> {
    /// [`Pass::double_backward`] with x given anew: the same bits.
    ///
    /// # Errors
    /// As [`Pass::double_backward`].
    pub fn double_backward(
        &self,
        x: &(impl Data<B, Element = T> + ?Sized),
        dy: &impl Data<B, Element = T>,
        of: GradientsOfGradients<&dyn Data<B, Element = T>, &ChannelArray<T::Compute, B>>,
    ) -> Result<SecondGradients<T, B>> {
        let room = || Tensor::unspecified(&self.backend, *self.saved.shape());
        let (mut of_dy, mut of_x) = (room()?, room()?);
        let gamma = self.double_backward_into(x, dy, of, &mut of_dy, &mut of_x)?;
        Ok(SecondGradients {
            dy: of_dy,
            input: of_x,
            gamma,
        })
    }

    /// [`Pass::double_backward_into`] with x given anew: the same bits.
    ///
    /// # Errors
    /// As [`Pass::double_backward`].
    pub fn double_backward_into(
        &self,
        x: &(impl Data<B, Element = T> + ?Sized),
        dy: &impl Data<B, Element = T>,
        of: GradientsOfGradients<&dyn Data<B, Element = T>, &ChannelArray<T::Compute, B>>,
        of_dy: &mut impl DataMut<B, Element = T>,
        of_x: &mut impl DataMut<B, Element = T>,
    ) -> Result<Option<ChannelArray<T::Compute, B>>> {
        let (saved, shape) = (&self.saved, self.saved.shape());
        let of = self.slices(&of)?;
        let x = like_x(shape, "x", x)?;
        let dy = like_x(shape, "dy", dy)?;
        let out = SecondOutputs {
            dy: output_slice(shape, "the second gradient of dy", of_dy)?,
            x: output_slice(shape, "the second gradient of x", of_x)?,
        };
        let gamma = saved.double_backward(&self.backend, x, dy, &of, out)?;
        Ok(self.has_gamma.then_some(gamma))
    }

    /// The memory of what is given, which must be of the pass's shape, and of what the layer has.
    fn slices<'a>(&self, of: &Given<'a, T, B>) -> Result<GivenSlices<'a, T, B>> {
        let shape = self.saved.shape();
        let array = |what, array: Option<&'a dyn Data<B, Element = T>>| {
            array.map(|array| like_x(shape, what, array)).transpose()
        };
        refuse_unless(self.has_gamma, "dgamma", of.gamma.is_some())?;
        refuse_unless(self.has_beta, "dbeta", of.beta.is_some())?;
        Ok(GradientsOfGradients {
            input: array("the gradient of dx", of.input)?,
            residual: array("the gradient of the residual's gradient", of.residual)?,
            gamma: of.gamma.map(ChannelArray::slice),
            beta: of.beta.map(ChannelArray::slice),
        })
    }
}

/// Memory that must be that of x.
fn like_x<'a, T: Element, B: Backend>(
    shape: &Shape,
    what: &'static str,
    array: &'a (impl Data<B, Element = T> + ?Sized),
) -> Result<B::Slice<'a, T>> {
    let view = lent(what, array)?;
    shape.check_same(what, &view.shape)?;
    Ok(view.values)
}

/// That nothing is given for a parameter that the layer has not.
fn refuse_unless(has_parameter: bool, what: &'static str, is_given: bool) -> Result<()> {
    if has_parameter || !is_given {
        return Ok(());
    }
    Err(Error::Value {
        what: "the gradient of a parameter's gradient",
        found: format!("one of {what}"),
        needed: "of a parameter that the layer has",
    })
}

impl<T: Element, B: Backend> Saved<T, B> {
    /// Writes what is with respect to dy and to x, and gives what is with respect to γ.
    ///
    /// # Errors
    /// [`Error::Residual`] for a residual's gradient where there was none, and as [`Backend::double_backward`].
    pub(crate) fn double_backward(
        &self,
        backend: &B,
        x: B::Slice<'_, T>,
        dy: B::Slice<'_, T>,
        of: &GivenSlices<'_, T, B>,
        mut out: SecondOutputs<B::SliceMut<'_, T>, B::SliceMut<'_, T>>,
    ) -> Result<ChannelArray<T::Compute, B>> {
        if of.residual.is_some() && !self.has_residual {
            return Err(Error::Residual {
                found: "a gradient of the residual's gradient was given",
                needed: "the forward pass had none",
            });
        }
        if let Some(kept) = &self.kept {
            return Err(Error::Value {
                what: "the pass whose second derivatives are asked for",
                found: format!("one of an input of which not all is kept, {kept:?}"),
                needed: "one of an input of which all is",
            });
        }
        let (channels, groups) = (self.shape.channels(), self.groups.len());
        // The step asks again, of each group: by then the groups before would have been written.
        for (what, array) in [
            ("the gradient of dgamma", &of.gamma),
            ("the gradient of dbeta", &of.beta),
        ] {
            if let Some(array) = array {
                self.shape
                    .check_per_channel(what, B::len::<T::Compute>(array))?;
            }
        }
        if groups > 1 {
            for group in 0..groups {
                let with = self.normalization(group);
                let gamma = backend.download::<T::Compute>(with.gamma)?;
                let inv_std = backend.download::<T::Compute>(with.inv_std)?;
                check_products(FACTOR_OF_SECOND_DERIVATIVES, &gamma, &inv_std)?;
            }
        }
        let mut gamma = ChannelArray::unspecified(backend, groups * channels)?;
        for group in 0..groups {
            let range = group * channels..(group + 1) * channels;
            let mut all = gamma.slice_mut();
            let of_gamma = B::subslice_mut::<T::Compute>(&mut all, range)?;
            self.double_backward_group(backend, group, (&x, &dy), of, &mut out, of_gamma)?;
        }
        match groups {
            1 => Ok(gamma),
            _ => self.total(backend, &gamma),
        }
    }

    fn double_backward_group(
        &self,
        backend: &B,
        index: usize,
        (x, dy): (&B::Slice<'_, T>, &B::Slice<'_, T>),
        of: &GivenSlices<'_, T, B>,
        out: &mut SecondOutputs<B::SliceMut<'_, T>, B::SliceMut<'_, T>>,
        mut of_gamma: B::SliceMut<'_, T::Compute>,
    ) -> Result<()> {
        let SavedGroup {
            group,
            renormalized,
            ..
        } = &self.groups[index];
        let values = || group.values.clone();
        let sums = match renormalized {
            Some(renormalized) => renormalized.of_sums(backend, of.gamma, of.beta)?,
            None => [None, None],
        };
        let (gamma, beta) = match &sums {
            [Some(of_products), Some(of_sum)] => (Some(of_products.slice()), Some(of_sum.slice())),
            _ => (
                of.gamma.map(B::shorten::<T::Compute>),
                of.beta.map(B::shorten::<T::Compute>),
            ),
        };
        let of_group = GradientsOfGradients {
            input: part_of::<T, B>(of.input.as_ref(), values())?,
            residual: part_of::<T, B>(of.residual.as_ref(), values())?,
            gamma,
            beta,
        };
        let written = SecondGradientsMut {
            dy: B::subslice_mut::<T>(&mut out.dy, values())?,
            x: B::subslice_mut::<T>(&mut out.x, values())?,
            gamma: B::reborrow_mut::<T::Compute>(&mut of_gamma),
        };
        backend.double_backward::<T>(
            &group.shape,
            B::subslice::<T>(dy, values())?,
            B::subslice::<T>(x, values())?,
            self.normalization(index),
            self.source,
            self.activation_backward(index),
            of_group,
            written,
        )?;
        match renormalized {
            Some(renormalized) => renormalized.finish_second_gradient(backend, of_gamma),
            None => Ok(()),
        }
    }
}

/// A group's part of what is given.
fn part_of<'a, T: Element, B: Backend>(
    array: Option<&'a B::Slice<'_, T>>,
    values: Range<usize>,
) -> Result<Option<B::Slice<'a, T>>> {
    let part = array.map(|array| B::subslice::<T>(array, values));
    part.transpose()
}
