//! How far a result may be from the textbook: bounds that follow from the arithmetic, per data type and backend.
//!
//! u is the unit roundoff of the compute type (2⁻²⁴, for f64 data 2⁻⁵³), w = 2⁻⁵³ that of `f64`. A term that goes through n
//! additions in the compute type and then m in `f64` puts at most (n·u + m·w) of itself into a sum's error: of Σaᵢ that is
//! s = n·u + m·w of Σ|aᵢ|, of Σaᵢbᵢ it is p = s + u, for the product is rounded too. An addition to zero rounds nothing, and no
//! sum of M terms has a way of more than M − 1 additions. n and m are counted where the code has them:
//!
//! - CPU, planes: a tree of four terms is 2 (`add_terms` of `src/cpu/reduce/terms.rs`), and 16 trees to a lane are 15 more
//!   (`LONGEST_CHAIN` of `reduce/planes.rs`): n = 17. In f64: a flush after 16 vectors of 16 values or sooner, at the end of a
//!   row; 4 to add up 16 lanes.
//! - CPU, columns: `CHAIN` = 32 rows (`reduce/terms.rs`) in trees of four are 8 trees, 2 + 7: n = 9. In f64: a flush after 32
//!   rows, 3 more at each end of at least 64 (`reduce/columns.rs`, `tiling/plan.rs`); then the positions of a row that is joined
//!   of several (`SHORT_ROW` of `tiling/view.rs`).
//! - GPU: a thread has a sum for each lane of its packets, so k packets or rows are n = k − 1. Of a split step k is at most 128
//!   (`LONGEST_CHAIN` of `src/gpu/plan/split.rs`), of the passes in one launch no more at the suite's sizes: those on chip keep
//!   all of their packets in shared memory (57 a thread of 256), a tile in an order of tickets has 2 to 16 a thread (`TICKET_TILES`
//!   and `PIPELINED_TILES` of `src/gpu/plan/candidates/planes.rs`), and a persistent block has its part of the rows. No plan gives a thread more than one
//!   block would give it that had the whole channel, which is what [`Additions`] counts. In f64: lanes, rebasing, threads,
//!   warps, blocks of a cluster and tiles, each a few.
//!
//! From this, to first order, with one roundoff more for every multiply-add of a level without FMA:
//!
//! - The pivot k is a mean of values spread over a block, or a value of the thread's own, so that |mean − k| ≤ σ and
//!   Σ(x − k)² ≤ 2Mσ² (on average over the pivots; data made to hurt is checked under `precision`).
//!   mean: s + u for x − k, on E|x − k| ≤ √2·σ. variance: p + 2u for x − k, on 2σ²; and the mean's error twice σ. inv_std: half of
//!   that relatively, and its own root and quotient in f64.
//! - y: σ·inv_std ≤ 1 turns the mean's error into as much of |γ|. On |γx̂|: inv_std's error, x − mean 1u, γ·inv_std 1u, the
//!   product 1u. On β 1u. Each addition but the last 1u on all that is added; the last is what storing rounds, in half types
//!   1u before that.
//! - dβ: s on Σ|dv|. dγ: p, inv_std's error and x̂ 2u on Σ|dv·x̂|; the mean's error, and 1u where x̂ is subnormal, on Σ|dv|; and
//!   both sums' on what rounding the mean leaves in x̂ and is taken out again, u·|mean|·inv_std. dx: inv_std's error twice and at most 8
//!   roundings on its three parts (x − mean, the slope and the sum it is made of, scale, two multiply-adds; the last is
//!   storing's, as above), the errors of dβ and dγ over M, and the mean's on the slope.
//! - Moments live in f64: 4w|mean| on the mean, and w more for each merged block. Statistics that are given have no error but
//!   their rounding; the bounds hold for them all the more.
//! - Storing rounds once: the type's roundoff, or half its smallest step where it underflows.

use std::any::Any;

use batchnorm::backend::Backend;
use batchnorm::{Cpu, DType, Device, Element, Layout, Shape};

use crate::reference::{Backward, Forward, Problem};

/// The unit roundoff of `f64`, in which sums end.
const WIDE_ROUNDOFF: f64 = f64::EPSILON / 2.0;

/// How many additions a term of a channel's sum goes through at most.
#[derive(Debug, Clone, Copy)]
pub struct Additions {
    /// In the type that is computed in.
    narrow: usize,
    /// In `f64`, after those.
    wide: usize,
}

impl Additions {
    /// Those of a backend: the processor's, or a GPU's.
    pub fn of<T: Element, B: Backend>(backend: &B, shape: &Shape) -> Self {
        let Self { narrow, wide } = if is_processor(backend) {
            Self::on_processor(shape)
        } else {
            Self::on_gpu(shape, size_of::<T>())
        };
        let most = shape.values_per_channel().saturating_sub(1);
        Self {
            narrow: narrow.min(most),
            wide: wide.min(most),
        }
    }

    /// With what merging ranks' statistics and sums adds: a few in `f64`, and where the backend's kernels hand them out in the type
    /// that is computed in, a rounding of mean and variance.
    #[must_use]
    pub fn of_ranks(self) -> Self {
        Self {
            narrow: self.narrow + 2,
            wide: self.wide + 8,
        }
    }

    fn on_processor(shape: &Shape) -> Self {
        if shape.layout() == Layout::ChannelsFirst && shape.spatial() > 1 {
            return Self {
                narrow: 2 + 15,
                // A plane may begin within a vector.
                wide: shape.batch() * (shape.spatial() + 15).div_ceil(16 * 16) + 4,
            };
        }
        let joined = 64usize.div_ceil(shape.channels());
        let rows = shape.values_per_channel().div_ceil(joined);
        Self {
            narrow: 2 + 7,
            // rows/32 + 3·(rows/64 + 1)
            wide: rows.div_ceil(12) + 3 + joined,
        }
    }

    /// Of a GPU that is told how many packets wide a group of columns is: its rows are shared by so many fewer threads.
    pub fn in_groups_of(packets: usize, shape: &Shape, value_bytes: usize) -> Self {
        let (rows, spatial) = rows_and_spatial(shape);
        Self {
            narrow: rows.div_ceil((256 / packets.max(spatial)).max(1)).min(128) - 1,
            wide: 48,
        }
        .larger(Self::on_gpu(shape, value_bytes))
    }

    fn larger(self, other: Self) -> Self {
        Self {
            narrow: self.narrow.max(other.narrow),
            wide: self.wide.max(other.wide),
        }
    }

    /// Of a block that has a whole channel, by columns of 256 threads, by planes of as few as a plan may take:
    /// `src/gpu/plan/descriptor.rs`, `columns.rs`, `split.rs`, `tuning.rs`.
    fn on_gpu(shape: &Shape, value_bytes: usize) -> Self {
        let lanes = 16 / value_bytes;
        let (rows, spatial) = rows_and_spatial(shape);
        let of_a_thread = if spatial == 1 && !shape.channels().is_multiple_of(lanes) {
            // As they are, or joined to a row as wide as all channels: either way each thread has its share of all packets, but for
            // those threads that find no packet of a row.
            let packets = (rows * shape.channels()).div_ceil(lanes) + rows;
            packets.div_ceil(256 - 64)
        } else if spatial * value_bytes < 512 {
            // A group of channels is 16 packets wide, or as wide as channels take that end where a packet does.
            let row = (shape.channels() * spatial).div_ceil(lanes);
            let group = row.min(16).max(spatial);
            rows.div_ceil(256 / group)
        } else {
            (rows * (spatial / lanes + 2)).div_ceil(32)
        };
        Self {
            narrow: of_a_thread.min(128).saturating_sub(1),
            wide: 48,
        }
    }

    /// With the rounding of each term's product with its weight.
    #[must_use]
    pub fn of_weighted_terms(self) -> Self {
        Self {
            narrow: self.narrow + 1,
            ..self
        }
    }

    /// The error of a sum, of the sum of its terms' magnitudes: s.
    pub fn of_sum<T: Element>(self) -> f64 {
        self.narrow as f64 * compute_roundoff::<T>() + self.wide as f64 * WIDE_ROUNDOFF
    }

    /// The error of a sum of products, of the sum of their magnitudes: p.
    pub fn of_products<T: Element>(self) -> f64 {
        self.of_sum::<T>() + compute_roundoff::<T>()
    }
}

/// As a GPU's kernels see an array: so many rows, in each so many neighbouring values of a channel.
fn rows_and_spatial(shape: &Shape) -> (usize, usize) {
    let values = shape.values_per_channel();
    if shape.channels() == 1 {
        (1, values)
    } else if shape.layout() == Layout::ChannelsLast || shape.spatial() == 1 {
        (values, 1)
    } else {
        (shape.batch(), shape.spatial())
    }
}

/// Whether a backend is the processor, or a GPU.
fn is_processor<B: Backend>(backend: &B) -> bool {
    let backend: &dyn Any = backend;
    match backend.downcast_ref::<Device>() {
        Some(device) => matches!(device, Device::Cpu(_)),
        None => backend.is::<Cpu>(),
    }
}

/// By how much the squares that a backend adds up in `f64` may be larger than those about the mean: on a GPU they end about the first
/// value of the channel (`kernels/statistics.cuh`).
pub fn excess_of_squares<B: Backend>(backend: &B, first: f64, mean: f64, variance: f64) -> f64 {
    if is_processor(backend) {
        1.0
    } else {
        1.0 + (first - mean).powi(2) / variance
    }
}

/// The unit roundoff of what is computed in.
pub fn compute_roundoff<T: Element>() -> f64 {
    if T::DTYPE == DType::F64 {
        f64::EPSILON / 2.0
    } else {
        f64::from(f32::EPSILON) / 2.0
    }
}

/// What storing a value may cost.
pub(crate) fn store<T: Element>(value: f64) -> f64 {
    let (roundoff, smallest) = match T::DTYPE {
        DType::F16 => (2f64.powi(-11), 2f64.powi(-24)),
        DType::BF16 => (2f64.powi(-8), 2f64.powi(-133)),
        DType::F32 => (2f64.powi(-24), 2f64.powi(-149)),
        _ => (2f64.powi(-53), 0.0),
    };
    value.abs() * roundoff + smallest / 2.0
}

/// Roundings before the one of storing, of what is stored in another type than it is computed in.
fn before_storing<T: Element>() -> f64 {
    match T::DTYPE {
        DType::F16 | DType::BF16 => 1.0,
        _ => 0.0,
    }
}

/// Bounds for one problem, on the backend that has these sums.
pub struct Tolerance<'a> {
    pub problem: &'a Problem,
    pub forward: &'a Forward,
    pub additions: Additions,
}

impl Tolerance<'_> {
    fn mean_error<T: Element>(&self, c: usize) -> f64 {
        let sigma = self.forward.variance[c].sqrt();
        let blocks = self.problem.shape.values_per_channel() as f64 / 1024.0;
        2f64.sqrt() * (self.additions.of_sum::<T>() + compute_roundoff::<T>()) * sigma
            + (4.0 + blocks) * WIDE_ROUNDOFF * self.forward.mean[c].abs()
    }

    pub fn mean<T: Element>(&self, c: usize) -> f64 {
        self.mean_error::<T>(c) + store::<T::Compute>(self.forward.mean[c])
    }

    fn variance_error<T: Element>(&self, c: usize) -> f64 {
        let variance = self.forward.variance[c];
        let of_squares = self.additions.of_products::<T>() + 2.0 * compute_roundoff::<T>();
        2.0 * (of_squares + 4.0 * WIDE_ROUNDOFF) * variance
            + 2.0 * variance.sqrt() * self.mean_error::<T>(c)
    }

    pub fn variance<T: Element>(&self, c: usize) -> f64 {
        self.variance_error::<T>(c) + store::<T::Compute>(self.forward.variance[c])
    }

    pub fn inv_std<T: Element>(&self, c: usize) -> f64 {
        let inv_std = self.forward.inv_std[c];
        // ε is added, the root and the quotient are taken. (Its cube could underflow.)
        self.variance_error::<T>(c) * inv_std * inv_std * inv_std / 2.0
            + 3.0 * WIDE_ROUNDOFF * inv_std
            + store::<T::Compute>(inv_std)
    }

    fn relative_inv_std<T: Element>(&self, c: usize) -> f64 {
        self.inv_std::<T>(c) / self.forward.inv_std[c]
    }

    /// The mean's error in deviations, with what is lost where the second of its two numbers underflows.
    fn mean_in_deviations<T: Element>(&self, c: usize) -> f64 {
        (self.mean_error::<T>(c) + store::<T::Compute>(0.0)) * self.forward.inv_std[c]
    }

    /// What rounding the mean leaves in x̂.
    fn residue<T: Element>(&self, c: usize) -> f64 {
        compute_roundoff::<T>() * self.forward.mean[c].abs() * self.forward.inv_std[c]
    }

    pub fn y<T: Element>(&self, c: usize, i: usize) -> f64 {
        let u = compute_roundoff::<T>();
        let (gamma, beta) = (self.problem.gamma[c].abs(), self.problem.beta[c].abs());
        let residual = self
            .problem
            .residual
            .as_ref()
            .map_or(0.0, |residual| residual[i].abs());
        let scaled = gamma * self.forward.x_hat[i].abs();
        let adds_residual = f64::from(u8::from(self.problem.residual.is_some()));
        let additions = adds_residual + before_storing::<T>();
        // What rounding the mean leaves in x − center, and the shift takes out again.
        let residue = gamma * self.residue::<T>(c);
        gamma * self.mean_in_deviations::<T>(c)
            + scaled * (self.relative_inv_std::<T>(c) + 3.0 * u)
            + 3.0 * u * residue
            + u * beta
            + additions * u * (scaled + beta + residual)
            + store::<T>(self.forward.y[i])
    }

    /// For dγ, dβ and each dx of a channel.
    pub fn gradients<T: Element>(&self, c: usize, backward: &Backward) -> GradientTolerance {
        let u = compute_roundoff::<T>();
        let sum =
            |f: &dyn Fn(usize) -> f64| self.problem.channel(c).map(|i| f(i).abs()).sum::<f64>();
        let sum_dv = sum(&|i| backward.dv[i]);
        let sum_product = sum(&|i| backward.dv[i] * self.forward.x_hat[i]);
        let (relative, shift) = (
            self.relative_inv_std::<T>(c),
            self.mean_in_deviations::<T>(c),
        );
        let (of_sum, of_products) = (
            self.additions.of_sum::<T>(),
            self.additions.of_products::<T>() + 2.0 * u,
        );
        let residue = self.residue::<T>(c);
        let dbeta = of_sum * sum_dv;
        let dgamma = (of_products + relative) * sum_product
            + (shift + u + residue * (of_products + of_sum)) * sum_dv;
        let count = self.problem.shape.values_per_channel() as f64;
        let of_batch = if self.problem.running.is_none() {
            1.0
        } else {
            0.0
        };
        let scale = (self.problem.gamma[c] * self.forward.inv_std[c]).abs();
        let mean_product = of_batch * backward.dgamma[c].abs() / count;
        let mean_gradient = of_batch * backward.dbeta[c].abs() / count;
        GradientTolerance {
            dbeta: dbeta + store::<T::Compute>(backward.dbeta[c]),
            dgamma: dgamma + store::<T::Compute>(backward.dgamma[c]),
            dx_per_part: scale * (2.0 * relative + (7.0 + before_storing::<T>()) * u),
            dx_constant: scale
                * (of_batch * dbeta / count + mean_product * (shift + 8.0 * u * residue)),
            dx_per_x_hat: scale * of_batch * dgamma / count,
            mean_product,
            mean_gradient,
        }
    }
}

/// The parts of the bounds that a channel's values share.
pub struct GradientTolerance {
    pub dbeta: f64,
    pub dgamma: f64,
    dx_per_part: f64,
    dx_constant: f64,
    dx_per_x_hat: f64,
    mean_product: f64,
    mean_gradient: f64,
}

impl GradientTolerance {
    pub fn dx<T: Element>(&self, dv: f64, x_hat: f64, dx: f64) -> f64 {
        let parts = dv.abs() + self.mean_gradient + x_hat.abs() * self.mean_product;
        self.dx_per_part * parts
            + self.dx_constant
            + self.dx_per_x_hat * x_hat.abs()
            + store::<T>(dx)
    }
}
