//! What a forward pass of several sets leaves behind for its backward pass.

use std::fmt;

use crate::allocate::reserved;
use crate::arrays::channel_array::ChannelArray;
use crate::arrays::lent::{lent, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut};
use crate::backend::Backend;
use crate::backend::operands::InOut;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::layer::backward::{ChannelGradients, check_residual_is_asked_for};
use crate::layer::ghost::Group;
use crate::layer::gradients::{ParameterGradients, asked_for, dresidual_slice};
use crate::layer::renormalization::multiply_add;
use crate::layer::saved::Saved;
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;

type StatisticsOf<X, B> = [BatchStatistics<<<X as Data<B>>::Element as Element>::Compute, B>];

/// The gradients of γ and β of each set, in the order of the sets: zeros for a set that had no samples, and where the parameters are shared
/// all in the first.
pub type SplitParameterGradients<C, B> = Vec<ParameterGradients<C, B>>;

/// The gradients of one pass of a [`SplitBatchNorm`](crate::SplitBatchNorm).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SplitGradients<T: Element, B: Backend> {
    /// dx, of x's shape.
    pub input: Tensor<T, B>,
    /// The residual's, where there was one.
    pub residual: Option<Tensor<T, B>>,
    /// dγ and dβ of each set.
    pub sets: SplitParameterGradients<T::Compute, B>,
}

/// A forward pass of a [`SplitBatchNorm`](crate::SplitBatchNorm) that can go backward: as [`Pass`](crate::Pass), for each of its groups.
pub struct SplitPass<X: Data<B>, B: Backend> {
    pub(super) x: X,
    pub(super) backend: B,
    pub(super) shape: Shape,
    pub(super) has_residual: bool,
    /// In the order of their samples.
    pub(super) parts: Vec<SplitPart<X::Element, B>>,
    /// Whether each set has γ, and β.
    pub(super) has_parameters: Vec<[bool; 2]>,
    pub(super) shares_parameters: bool,
}

/// One group of it.
pub(super) struct SplitPart<T: Element, B: Backend> {
    pub(super) set: usize,
    pub(super) group: Group,
    pub(super) saved: Saved<T, B>,
}

impl<X: Data<B>, B: Backend> SplitPass<X, B> {
    /// The set and the statistics that each group was normalized with, in order: one, or with ghost batches one of each.
    pub fn statistics(&self) -> impl Iterator<Item = (usize, &StatisticsOf<X, B>)> {
        let parts = self.parts.iter();
        parts.map(|part| (part.set, part.saved.statistics()))
    }

    /// The input.
    pub fn input(&self) -> &X {
        &self.x
    }

    /// Gives the input back.
    pub fn into_input(self) -> X {
        self.x
    }

    /// All gradients, from the gradient dy of y: by the formulas of [`Pass::backward`](crate::Pass::backward), of each group by itself;
    /// dγ and dβ of a set are the sums over its groups.
    ///
    /// # Errors
    /// [`crate::Error::ShapeMismatch`] if dy's memory is not that of x.
    pub fn backward<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
    ) -> Result<SplitGradients<T, B>>
    where
        X: Data<B, Element = T>,
    {
        let array = || Tensor::unspecified(&self.backend, self.shape);
        let (mut input, mut residual) = (array()?, self.has_residual.then(array).transpose()?);
        let sets = self.backward_into(dy, &mut input, asked_for(&mut residual))?;
        Ok(SplitGradients {
            input,
            residual,
            sets,
        })
    }

    /// [`backward`](Self::backward) into memory of the caller's; the residual's gradient is written if asked for.
    ///
    /// # Errors
    /// As [`backward`](Self::backward), and [`crate::Error::Residual`] if a residual's gradient is asked for where there was none.
    pub fn backward_into<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        dx: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<SplitParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        check_residual_is_asked_for(dresidual.is_some(), self.has_residual)?;
        let dy = lent("dy", dy)?;
        self.shape.check_same("dy", &dy.shape)?;
        let x = lent("x", &self.x)?;
        self.shape.check_same("x", &x.shape)?;
        let dx = output_slice(&self.shape, "dx", dx)?;
        let mut dy_to_dx = InOut::Separate(dy.values, dx);
        let mut dresidual = dresidual_slice(&self.shape, dresidual)?;
        let mut sums: Vec<Option<ChannelGradients<T::Compute, B>>> =
            reserved(self.has_parameters.len())?;
        sums.resize_with(self.has_parameters.len(), || None);
        for SplitPart { set, group, saved } in &self.parts {
            let dresidual = match &mut dresidual {
                Some(dresidual) => Some(B::subslice_mut::<T>(dresidual, group.values.clone())?),
                None => None,
            };
            let x = B::subslice::<T>(&x.values, group.values.clone())?;
            let dy_to_dx = group.subslice_of::<T, B>(&mut dy_to_dx)?;
            let of_part = saved.backward(&self.backend, x, dy_to_dx, dresidual)?;
            let owner = if self.shares_parameters { 0 } else { *set };
            match &mut sums[owner] {
                None => sums[owner] = Some(of_part),
                Some(sum) => {
                    add(&self.backend, &mut sum.gamma, &of_part.gamma)?;
                    add(&self.backend, &mut sum.beta, &of_part.beta)?;
                }
            }
        }
        let mut sets = reserved(sums.len())?;
        for (sum, [has_gamma, has_beta]) in sums.into_iter().zip(&self.has_parameters) {
            let zeros = || ChannelArray::zeros(&self.backend, self.shape.channels());
            let (gamma, beta) = match sum {
                Some(sum) => (has_gamma.then_some(sum.gamma), has_beta.then_some(sum.beta)),
                None => (
                    has_gamma.then(zeros).transpose()?,
                    has_beta.then(zeros).transpose()?,
                ),
            };
            sets.push(ParameterGradients { gamma, beta });
        }
        Ok(sets)
    }
}

/// Adds one array to another.
fn add<C: Compute, B: Backend>(
    backend: &B,
    sum: &mut ChannelArray<C, B>,
    addend: &ChannelArray<C, B>,
) -> Result<()> {
    let ones = ChannelArray::<C, B>::filled(backend, sum.len(), 1.0)?;
    let in_place = InOut::InPlace(sum.slice_mut());
    multiply_add(backend, in_place, ones.slice(), Some(addend.slice()))
}

/// x's shape, the number of groups, and no values.
impl<X: Data<B>, B: Backend> fmt::Debug for SplitPass<X, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shape, groups) = (&self.shape, self.parts.len());
        write!(f, "SplitPass({shape}, {groups} groups)")
    }
}
