//! What was chosen for a shape, what the others were predicted to take, and why: for those who tune.

use std::fmt::{self, Display, Formatter};

use crate::element::DType;
use crate::gpu::attributes::Attributes;
use crate::gpu::plan::candidates::query::PlanQuery;
use crate::gpu::plan::choice::{Considered, Reason, consider};
use crate::gpu::plan::cost::constants::{KERNELS, KernelConstants};
use crate::gpu::plan::cost::waves::Bound;
use crate::gpu::plan::cost::{Prediction, predict};
use crate::gpu::plan::descriptor::{Arrangement, TensorDescriptor};
use crate::gpu::plan::launch_plan::{Direction, LaunchPlan, PassPlan};
use crate::gpu::plan::tuning::Tuning;
use crate::shape::Shape;

/// A choice of plan, and the plans that it was made between.
///
/// ```
/// use batchnorm::gpu::Attributes;
/// use batchnorm::gpu::plan::{Direction, Explanation, Tuning};
/// use batchnorm::{DType, Shape};
/// let shape = Shape::channels_first(&[32, 256, 56, 56])?;
/// let tuning = Tuning::default();
/// let why = Explanation::of(&shape, DType::F16, Direction::Forward, &Attributes::H200, &tuning);
/// println!("{why}");
/// assert!(why.chosen().prediction.share > 0.5);
/// # Ok::<(), batchnorm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// Which way the pass goes.
    pub direction: Direction,
    /// The array as the kernels see it.
    pub descriptor: TensorDescriptor,
    /// Its type.
    pub dtype: DType,
    /// The device.
    pub device: Attributes,
    /// Every plan that is right, fastest first by prediction; those that leave multiprocessors idle last.
    pub considered: Vec<Considered>,
    /// Which of them is chosen.
    pub index: usize,
    /// Why.
    pub reason: Reason,
}

impl Explanation {
    /// Of a pass over an array, on a device that need not be there.
    pub fn of(
        shape: &Shape,
        dtype: DType,
        direction: Direction,
        device: &Attributes,
        tuning: &Tuning,
    ) -> Self {
        Self::with(shape, dtype, direction, device, tuning, &KERNELS)
    }

    /// The same for kernels that take something else.
    pub fn with(
        shape: &Shape,
        dtype: DType,
        direction: Direction,
        device: &Attributes,
        tuning: &Tuning,
        kernels: &KernelConstants,
    ) -> Self {
        let descriptor = TensorDescriptor::of(shape, dtype);
        let query = PlanQuery {
            direction,
            descriptor: &descriptor,
            dtype,
            device,
            tuning,
        };
        let (considered, index, reason) = consider(&query, kernels);
        Self {
            direction,
            descriptor,
            dtype,
            device: *device,
            considered,
            index,
            reason,
        }
    }

    /// What the fastest plan would take by which blocks take groups of columns one after the other, of which there is no kernel: fewer at
    /// once, so that more of their rows are kept on the chip. None where there are no columns, or too few of them.
    pub fn columns_in_turn(&self) -> Option<Prediction> {
        if self.descriptor.arrangement == Arrangement::Planes || !self.device.cooperative {
            return None;
        }
        let query = PlanQuery {
            direction: self.direction,
            descriptor: &self.descriptor,
            dtype: self.dtype,
            device: &self.device,
            tuning: &Tuning::default(),
        };
        let predicted = query.columns_in_turn().into_iter().map(|plan| {
            let plan = PassPlan::Whole(plan);
            predict(
                self.direction,
                &self.descriptor,
                &plan,
                &self.device,
                &KERNELS,
            )
        });
        predicted.min_by(|one, other| one.seconds.total_cmp(&other.seconds))
    }

    /// The plan that is chosen.
    pub fn chosen(&self) -> &Considered {
        &self.considered[self.index]
    }
}

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: f64| bytes / 1e6;
        writeln!(
            f,
            "{:?} of {} ({:.1} MB) on {} multiprocessors of compute capability {}.{}; predicted, not measured:",
            self.direction,
            self.dtype,
            megabytes(self.descriptor.bytes() as f64),
            self.device.multiprocessors,
            self.device.architecture / 10,
            self.device.architecture % 10,
        )?;
        for (index, considered) in self.considered.iter().enumerate() {
            let mark = if index == self.index { '*' } else { ' ' };
            let prediction = &considered.prediction;
            write!(
                f,
                "{mark} {:8.2} us {:3.0} % of a copy  {:7.1} MB memory {:7.1} MB cache  {} a multiprocessor, {:.2} waves, by {}: {}",
                prediction.seconds * 1e6,
                prediction.share * 1e2,
                megabytes(prediction.memory_bytes),
                megabytes(prediction.cached_bytes),
                prediction.resident,
                prediction.waves,
                prediction.bound,
                considered.plan,
            )?;
            match considered.idle {
                0 => writeln!(f)?,
                idle => writeln!(f, "; not chosen: leaves {idle} multiprocessors idle")?,
            }
        }
        write!(f, "{}", self.reason)
    }
}

impl Display for Bound {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Cache => "cache",
            Self::Instructions => "instructions",
            Self::Latency => "latency",
        })
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told => f.write_str("the fastest that the tuning allows"),
            Self::EqualBits { price } if *price <= 0.0 => {
                f.write_str("the fastest, and partitioned as on every device")
            }
            Self::EqualBits { price } => write!(
                f,
                "partitioned as on every device, for {:.1} % more time",
                price * 1e2
            ),
            Self::Fastest { price: Some(price) } => write!(
                f,
                "the fastest; to partition as on every device would take {:.1} % more time",
                price * 1e2
            ),
            Self::Fastest { price: None } => {
                f.write_str("the fastest; this device cannot partition as every device")
            }
        }
    }
}

impl Display for PassPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => whole.fmt(f),
            Self::Steps { reduce, write } => write!(f, "{reduce}, then {write}"),
        }
    }
}

impl Display for LaunchPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let launch = &self.launch;
        write!(f, "{} with {} blocks", launch.kernel, launch.blocks)?;
        if launch.cluster > 1 {
            write!(f, " in clusters of {}", launch.cluster)?;
        }
        write!(f, " of {} threads", launch.threads)?;
        if launch.shared_bytes > 0 {
            write!(f, " and {:.1} KB", f64::from(launch.shared_bytes) / 1024.0)?;
        }
        if self.group_channels > 0 {
            write!(f, ", channels by {}", self.group_channels)?;
        }
        if self.places > 0 {
            write!(f, ", {} places", self.places)?;
        }
        Ok(())
    }
}
