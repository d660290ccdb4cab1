//! What the steps are given and what they write: arrays, named. `S` is memory that is read, `W` memory that is written:
//! the slices of a backend. Callers of the steps write these operands as literals, so their fields are all that there are: a new one
//! takes a new minor version.

/// An operand that is written from another at the same places, or over it.
#[derive(Debug)]
pub enum InOut<S, W> {
    /// Read the first, write the second.
    Separate(S, W),
    /// Read and write the same memory.
    InPlace(W),
}

/// Per-channel statistics to be written, all (C,).
#[derive(Debug)]
pub struct StatisticsMut<W> {
    /// Σx / M.
    pub mean: W,
    /// What `mean` rounds away: the mean is `mean + mean_low`. It keeps y exact where the mean is large beside the
    /// deviation.
    pub mean_low: W,
    /// Σ(x − mean)² / M.
    pub variance: W,
    /// `1 / sqrt(variance + ε)`.
    pub inv_std: W,
    /// Running statistics that follow these as soon as they are known.
    pub running: Option<RunningMut<W>>,
}

/// Moments to be written on the host, all (C,): what [`Backend::statistics_in_f64`](super::Backend::statistics_in_f64) finds.
#[derive(Debug)]
pub struct MomentsMut<'a> {
    /// Σx / M.
    pub mean: &'a mut [f64],
    /// What `mean` rounds away.
    pub mean_low: &'a mut [f64],
    /// Σ(x − mean)².
    pub m2: &'a mut [f64],
}

/// The running statistics that a batch is renormalized against, both (C,), as they were before it, and the limits of that. See
/// [`Backend::renormalize`](super::Backend::renormalize).
#[derive(Debug, Clone, Copy)]
pub struct RunningReference<S> {
    /// The running mean.
    pub mean: S,
    /// The running variance.
    pub variance: S,
    /// R is from 1/r_max to r_max: finite, at least 1.
    pub r_max: f64,
    /// D is from −d_max to d_max: finite, at least 0.
    pub d_max: f64,
}

/// What a batch is renormalized with, to be written, all (C,). See [`Backend::renormalize`](super::Backend::renormalize).
#[derive(Debug)]
pub struct RenormalizedMut<W> {
    /// γ·R, in γ's place.
    pub gamma: W,
    /// β + γ·D, in β's place.
    pub beta: W,
    /// R.
    pub r: W,
    /// D.
    pub d: W,
}

/// Running statistics to follow a batch, both (C,). See [`Backend::update_running`](super::Backend::update_running).
#[derive(Debug)]
pub struct RunningMut<W> {
    /// The running mean.
    pub mean: W,
    /// The running variance.
    pub variance: W,
    /// The weight of the batch.
    pub factor: f64,
    /// From the biased variance of the batch to the estimate that is followed.
    pub correction: f64,
    /// Whether a channel stays as it is where its mean or its variance would not be finite.
    pub only_finite: bool,
}

/// Per-channel statistics, all (C,). See [`StatisticsMut`].
#[derive(Debug, Clone, Copy)]
pub struct Statistics<S> {
    /// Σx / M.
    pub mean: S,
    /// What `mean` rounds away.
    pub mean_low: S,
    /// Σ(x − mean)² / M.
    pub variance: S,
    /// `1 / sqrt(variance + ε)`.
    pub inv_std: S,
}

impl<S> Statistics<S> {
    /// As x is normalized with them, γ and β.
    pub fn normalization(self, gamma: S, beta: S) -> Normalization<S> {
        Normalization {
            mean: self.mean,
            mean_low: self.mean_low,
            inv_std: self.inv_std,
            gamma,
            beta,
        }
    }
}

/// What x is normalized with, all (C,): `y = γ·(x − mean − mean_low)·inv_std + β`.
#[derive(Debug, Clone, Copy)]
pub struct Normalization<S> {
    /// The mean.
    pub mean: S,
    /// What `mean` rounds away; zeros for running statistics.
    pub mean_low: S,
    /// `1 / sqrt(variance + ε)`.
    pub inv_std: S,
    /// γ; ones where the layer has none.
    pub gamma: S,
    /// β; zeros where the layer has none.
    pub beta: S,
}

/// What a training pass normalizes with beside the batch's own statistics.
#[derive(Debug, Clone, Copy)]
pub struct Affine<S> {
    /// γ (C,).
    pub gamma: S,
    /// β (C,).
    pub beta: S,
    /// ε, above zero.
    pub epsilon: f64,
}

/// What [`Backend::backward_reduce`](super::Backend::backward_reduce) found, and over how many values per channel.
#[derive(Debug, Clone, Copy)]
pub struct GradientSums<S> {
    /// Σ dv·x̂ (C,), which is dγ.
    pub gamma: S,
    /// Σ dv (C,), which is dβ.
    pub beta: S,
    /// M, the values per channel that were summed (of all participants, where several synchronize).
    pub count: usize,
}

/// Parameter gradients to be written, both (C,).
#[derive(Debug)]
pub struct GradientSumsMut<W> {
    /// dγ = Σ dv·x̂.
    pub gamma: W,
    /// dβ = Σ dv.
    pub beta: W,
}

/// What [`Backend::double_backward`](super::Backend::double_backward) is given: the gradients of a scalar, such as a gradient penalty, with
/// respect to what [`Backend::backward`](super::Backend::backward) gave. One that is missing is zero. `S` is memory like x, `P` memory of
/// each channel.
#[derive(Debug, Clone, Copy)]
pub struct GradientsOfGradients<S, P> {
    /// With respect to dx, like x.
    pub input: Option<S>,
    /// With respect to the residual's gradient, like x.
    pub residual: Option<S>,
    /// With respect to dγ (C,).
    pub gamma: Option<P>,
    /// With respect to dβ (C,).
    pub beta: Option<P>,
}

/// All of them missing.
impl<S, P> Default for GradientsOfGradients<S, P> {
    fn default() -> Self {
        Self {
            input: None,
            residual: None,
            gamma: None,
            beta: None,
        }
    }
}

/// The gradients of that scalar with respect to what [`Backend::backward`](super::Backend::backward) was given, to be written.
#[derive(Debug)]
pub struct SecondGradientsMut<W, P> {
    /// With respect to dy, like x.
    pub dy: W,
    /// With respect to x, like x.
    pub x: W,
    /// With respect to γ (C,).
    pub gamma: P,
}

/// Where a pass took its statistics from, which decides the formula of dx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatisticsSource {
    /// The batch: mean and variance depend on x, `dx = γ·inv_std·(dv − Σdv/M − x̂·Σ(dv·x̂)/M)`.
    Batch,
    /// Running statistics: constants, `dx = γ·inv_std·dv`.
    Running,
}
