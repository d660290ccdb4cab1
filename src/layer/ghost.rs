//! Which samples are normalized together.

use std::ops::Range;

use crate::allocate::reserved;
use crate::backend::Backend;
use crate::backend::batch::Batch;
use crate::backend::kept::Kept;
use crate::backend::operands::InOut;
use crate::element::Element;
use crate::error::Result;
use crate::shape::Shape;

/// Samples that are normalized together: those of the batch, or of one ghost batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) shape: Shape,
    /// Where its values are in the batch's memory. (In either layout samples follow one another.)
    pub(crate) values: Range<usize>,
    /// What of them is kept, if not all.
    pub(crate) kept: Option<Kept>,
}

impl Group {
    /// The whole batch.
    pub(crate) fn whole(batch: Batch<'_>) -> Self {
        Self {
            shape: *batch.shape,
            values: 0..batch.shape.len(),
            kept: batch.kept.cloned(),
        }
    }

    /// Some samples of the batch.
    pub(crate) fn of_samples(
        Batch { shape, kept }: Batch<'_>,
        samples: Range<usize>,
    ) -> Result<Self> {
        let sample = shape.channels() * shape.spatial();
        Ok(Self {
            shape: shape.with_batch(samples.len()),
            values: samples.start * sample..samples.end * sample,
            kept: kept.map(|kept| kept.of_samples(samples)).transpose()?,
        })
    }

    /// As the operand of a step.
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch::from((&self.shape, self.kept.as_ref()))
    }

    /// The batch in groups of `size` samples, in order. What remains is a smaller group, unless that would be one value
    /// per channel: then it joins the group before.
    pub(crate) fn split(whole: Batch<'_>, size: usize) -> Result<Vec<Self>> {
        let (shape, batch) = (whole.shape, whole.shape.batch());
        let mut count = batch.div_ceil(size).max(1);
        if count > 1 && (batch - (count - 1) * size) * shape.spatial() == 1 {
            count -= 1;
        }
        let mut groups = reserved(count)?;
        for index in 0..count {
            let start = index * size;
            let end = if index + 1 == count {
                batch
            } else {
                start + size
            };
            groups.push(Self::of_samples(whole, start..end)?);
        }
        Ok(groups)
    }

    /// Its part of an operand of the batch's shape.
    pub(crate) fn subslice_of<'a, T: Element, B: Backend>(
        &self,
        operand: &'a mut InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
    ) -> Result<InOut<B::Slice<'a, T>, B::SliceMut<'a, T>>> {
        let range = self.values.clone();
        Ok(match operand {
            InOut::Separate(from, to) => InOut::Separate(
                B::subslice::<T>(from, range.clone())?,
                B::subslice_mut::<T>(to, range)?,
            ),
            InOut::InPlace(both) => InOut::InPlace(B::subslice_mut::<T>(both, range)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(dims: &[usize], size: usize) -> Vec<usize> {
        let shape = Shape::channels_first(dims).unwrap();
        let groups = Group::split((&shape).into(), size).unwrap();
        assert_eq!(groups[0].values.start, 0);
        assert_eq!(groups.last().unwrap().values.end, shape.len());
        for pair in groups.windows(2) {
            assert_eq!(pair[0].values.end, pair[1].values.start);
        }
        for group in &groups {
            assert_eq!(group.shape.len(), group.values.len());
        }
        groups.iter().map(|group| group.shape.batch()).collect()
    }

    #[test]
    fn what_remains_is_a_smaller_group() {
        assert_eq!(sizes(&[12, 3], 4), [4, 4, 4]);
        assert_eq!(sizes(&[14, 3], 4), [4, 4, 4, 2]);
        assert_eq!(sizes(&[13, 3, 2], 4), [4, 4, 4, 1]);
        assert_eq!(sizes(&[3, 3], 4), [3]);
        assert_eq!(sizes(&[4, 3], usize::MAX), [4]);
        assert_eq!(sizes(&[0, 3], 4), [0]);
    }

    #[test]
    fn one_value_per_channel_joins_the_group_before() {
        assert_eq!(sizes(&[13, 3], 4), [4, 4, 5]);
        assert_eq!(sizes(&[5, 3, 1, 1], 4), [5]);
        assert_eq!(sizes(&[1, 3], 4), [1]);
    }
}
