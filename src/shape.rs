//! Shape and layout: every array is folded to (N, C, S), and every size is checked here.

use std::fmt;

use crate::error::{Error, Result};

/// Where the channel stands in memory.
///
/// | ours | PyTorch | cuDNN | oneDNN |
/// |---|---|---|---|
/// | `ChannelsFirst` | contiguous | NCHW | ncsp |
/// | `ChannelsLast` | channels_last | NHWC | nspc |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// (N, C, spatial...): each channel of each sample is one run of memory.
    ChannelsFirst,
    /// (N, spatial..., C): the channels of one position are neighbours.
    ChannelsLast,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::ChannelsFirst => "channels first",
            Layout::ChannelsLast => "channels last",
        })
    }
}

/// The dimensions of an array in memory order, and where its channels are.
///
/// Whatever the rank, the layer sees (N, C, S): N samples, C channels, S = the product of the spatial
/// dimensions (1 for an (N, C) array). Of more than five dimensions it sees and keeps these three only. Every dimension
/// but that of the channels may be zero. The statistics of a channel are taken over its M = N·S values.
///
/// ```
/// # use batchnorm::{Shape, Layout};
/// let shape = Shape::channels_last(&[8, 32, 32, 64])?; // N, H, W, C
/// assert_eq!((shape.batch(), shape.channels(), shape.spatial()), (8, 64, 1024));
/// assert_eq!(shape.values_per_channel(), 8 * 1024);
/// # Ok::<(), batchnorm::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; Shape::MAX_RANK],
    rank: usize,
    layout: Layout,
    spatial: usize,
}

impl Shape {
    /// The most dimensions that a shape keeps: (N, C, D, H, W). The spatial ones of an array that has more are one in its
    /// shape, their product.
    pub const MAX_RANK: usize = 5;

    /// The shape of an array whose memory order is (N, C, spatial...).
    ///
    /// # Errors
    /// [`Error::Rank`] for fewer than 2 dimensions, [`Error::ZeroDimension`] for no channels, [`Error::ShapeOverflow`] when
    /// the product, of those that are not zero, cannot be addressed.
    pub fn channels_first(dims: &[usize]) -> Result<Self> {
        Self::new(dims, Layout::ChannelsFirst)
    }

    /// The shape of an array whose memory order is (N, spatial..., C).
    ///
    /// # Errors
    /// As [`Shape::channels_first`].
    pub fn channels_last(dims: &[usize]) -> Result<Self> {
        Self::new(dims, Layout::ChannelsLast)
    }

    /// The shape of an array with these dimensions in memory order.
    ///
    /// # Errors
    /// As [`Shape::channels_first`].
    pub fn new(dims: &[usize], layout: Layout) -> Result<Self> {
        let rank = dims.len();
        if rank < 2 {
            return Err(Error::Rank {
                found: rank,
                dims: dims.to_vec(),
            });
        }
        let (axis, positions) = match layout {
            Layout::ChannelsFirst => (1, &dims[2..]),
            Layout::ChannelsLast => (rank - 1, &dims[1..rank - 1]),
        };
        if dims[axis] == 0 {
            return Err(Error::ZeroDimension {
                axis,
                dims: dims.to_vec(),
            });
        }
        // The largest element has 8 bytes, and a Rust allocation at most isize::MAX of them. Zeros are left out, so that
        // every part of the product can be computed too.
        let limit = isize::MAX as usize / size_of::<f64>();
        let values = dims
            .iter()
            .try_fold(1usize, |product, &d| product.checked_mul(d.max(1)));
        if values.is_none_or(|values| values > limit) {
            return Err(Error::ShapeOverflow {
                dims: dims.to_vec(),
            });
        }
        let spatial = positions.iter().product();
        let folded = match layout {
            Layout::ChannelsFirst => [dims[0], dims[axis], spatial],
            Layout::ChannelsLast => [dims[0], spatial, dims[axis]],
        };
        let kept = if rank > Self::MAX_RANK { &folded } else { dims };
        let mut padded = [1; Self::MAX_RANK];
        padded[..kept.len()].copy_from_slice(kept);
        Ok(Self {
            dims: padded,
            rank: kept.len(),
            layout,
            spatial,
        })
    }

    /// The dimensions in memory order.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The dimensions in PyTorch's logical order (N, C, spatial...), whatever the layout.
    pub fn logical_dims(&self) -> Vec<usize> {
        self.logical().collect()
    }

    /// [`logical_dims`](Self::logical_dims), of which every pass compares some and none needs a vector.
    fn logical(&self) -> impl Iterator<Item = usize> {
        let spatial = match self.layout {
            Layout::ChannelsFirst => 2..self.rank,
            Layout::ChannelsLast => 1..self.rank - 1,
        };
        let folded = [self.batch(), self.channels()];
        folded.into_iter().chain(self.dims[spatial].iter().copied())
    }

    /// Where the channels are.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// N, the number of samples.
    pub fn batch(&self) -> usize {
        self.dims[0]
    }

    /// C, the number of channels.
    pub fn channels(&self) -> usize {
        match self.layout {
            Layout::ChannelsFirst => self.dims[1],
            Layout::ChannelsLast => self.dims[self.rank - 1],
        }
    }

    /// S, the number of positions of one sample: the product of the spatial dimensions.
    pub fn spatial(&self) -> usize {
        self.spatial
    }

    /// M = N·S, over which the statistics of one channel are taken.
    pub fn values_per_channel(&self) -> usize {
        self.batch() * self.spatial
    }

    /// N·C·S, the number of values.
    pub fn len(&self) -> usize {
        self.values_per_channel() * self.channels()
    }

    /// Whether there are no values: no samples, or no positions.
    pub fn is_empty(&self) -> bool {
        self.values_per_channel() == 0
    }

    /// The shape of fewer samples.
    pub(crate) fn with_batch(mut self, samples: usize) -> Self {
        self.dims[0] = samples;
        self
    }

    /// Where in memory value (n, c, s) stands.
    pub fn index(&self, n: usize, c: usize, s: usize) -> usize {
        match self.layout {
            Layout::ChannelsFirst => (n * self.channels() + c) * self.spatial + s,
            Layout::ChannelsLast => (n * self.spatial + s) * self.channels() + c,
        }
    }

    /// Whether an array of shape `other` has its values where one of this shape has them.
    /// (An (N, C) array is the same in either layout, and so is one of no values.)
    pub fn same_memory(&self, other: &Shape) -> bool {
        let either = self.spatial <= 1 || self.channels() == 1 || self.is_empty();
        self.logical().eq(other.logical()) && (self.layout == other.layout || either)
    }

    /// Checks that an array belongs to this shape.
    pub(crate) fn check_len(&self, what: &'static str, found: usize) -> Result<()> {
        check_len(what, found, self.len())
    }

    /// Checks that a per-channel array belongs to this shape.
    pub(crate) fn check_per_channel(&self, what: &'static str, found: usize) -> Result<()> {
        check_len(what, found, self.channels())
    }

    /// Checks that another array, such as dy, has the memory of this one.
    pub(crate) fn check_same(&self, what: &'static str, other: &Shape) -> Result<()> {
        if self.same_memory(other) {
            return Ok(());
        }
        Err(Error::ShapeMismatch {
            what,
            found: other.to_string(),
            needed: self.to_string(),
        })
    }

    /// Checks that batch statistics can be taken: two values per channel, or an empty batch.
    pub(crate) fn check_batch_statistics(&self) -> Result<()> {
        match self.values_per_channel() {
            1 => Err(Error::TooFewValues {
                found: 1,
                shape: self.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

/// Checks one length against another.
pub(crate) fn check_len(what: &'static str, found: usize, needed: usize) -> Result<()> {
    if found == needed {
        Ok(())
    } else {
        Err(Error::Length {
            what,
            found,
            needed,
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.dims(), self.layout)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shape({self})")
    }
}
