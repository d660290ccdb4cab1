//! The kernels by what they are: which arrangement of values, done how, doing what, in which type. Their names follow.

use std::fmt;

use crate::element::DType;

/// What a kernel is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Whole planes of one channel.
    Planes,
    /// Rows of which every column belongs to a channel.
    Columns,
    /// Arrays of one value per channel.
    Channels,
}

/// How the blocks that share a channel find its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// One launch for each step.
    Split,
    /// One launch that keeps every channel in shared memory.
    OnChip,
    /// One launch of tiles in an order of tickets.
    Ticketed,
    /// The same, with a block's next tile on its way to shared memory.
    Pipelined,
    /// One cooperative launch that keeps what fits.
    Persistent,
}

/// What a kernel does: one step, or a whole pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Reduces x.
    Statistics,
    /// x to y.
    Normalize,
    /// Reduces dy.
    BackwardReduce,
    /// dy to dx.
    BackwardInput,
    /// x to its statistics and y.
    Forward,
    /// dy and x to dγ, dβ and dx.
    Backward,
    /// The running statistics follow a batch.
    UpdateRunning,
    /// A variance to 1/√(variance + ε).
    InverseStd,
    /// The statistics of several ranks' parts to those of the whole batch.
    MergeStatistics,
    /// Likewise dγ and dβ.
    MergeGradients,
}

impl Family {
    const ALL: [Self; 3] = [Self::Planes, Self::Columns, Self::Channels];

    fn name(self) -> &'static str {
        match self {
            Self::Planes => "planes",
            Self::Columns => "columns",
            Self::Channels => "channels",
        }
    }
}

impl Strategy {
    const ALL: [Self; 5] = [
        Self::Split,
        Self::OnChip,
        Self::Ticketed,
        Self::Pipelined,
        Self::Persistent,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::OnChip => "on_chip",
            Self::Ticketed => "ticketed",
            Self::Pipelined => "pipelined",
            Self::Persistent => "persistent",
        }
    }
}

impl Operation {
    const ALL: [Self; 10] = [
        Self::Statistics,
        Self::Normalize,
        Self::BackwardReduce,
        Self::BackwardInput,
        Self::Forward,
        Self::Backward,
        Self::UpdateRunning,
        Self::InverseStd,
        Self::MergeStatistics,
        Self::MergeGradients,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Statistics => "statistics",
            Self::Normalize => "normalize",
            Self::BackwardReduce => "backward_reduce",
            Self::BackwardInput => "backward_input",
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::UpdateRunning => "update_running",
            Self::InverseStd => "inverse_std",
            Self::MergeStatistics => "merge_statistics",
            Self::MergeGradients => "merge_gradients",
        }
    }
}

/// One kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Kernel {
    /// For values arranged how.
    pub family: Family,
    /// In how many launches, and what is kept where.
    pub strategy: Strategy,
    /// What it does.
    pub operation: Operation,
    /// To values of which type.
    pub dtype: DType,
}

impl Kernel {
    /// One that works on one value per channel.
    pub fn per_channel(operation: Operation, dtype: DType) -> Self {
        Self {
            family: Family::Channels,
            strategy: Strategy::Split,
            operation,
            dtype,
        }
    }

    /// Whether `kernels/` has it.
    pub fn exists(self) -> bool {
        use Family as F;
        use Operation as O;
        use Strategy as S;
        let has_f64 = self.strategy == Strategy::Split;
        match (self.family, self.strategy, self.operation) {
            (
                F::Planes | F::Columns,
                S::Split,
                O::Statistics | O::Normalize | O::BackwardReduce | O::BackwardInput,
            )
            | (F::Planes, S::OnChip | S::Ticketed | S::Pipelined, O::Forward | O::Backward)
            | (F::Columns, S::OnChip | S::Persistent, O::Forward | O::Backward) => {
                has_f64 || self.dtype != DType::F64
            }
            // Values per channel are of the type that is computed in.
            (
                F::Channels,
                S::Split,
                O::UpdateRunning | O::InverseStd | O::MergeStatistics | O::MergeGradients,
            ) => matches!(self.dtype, DType::F32 | DType::F64),
            _ => false,
        }
    }

    /// The file of `kernels/`, without `.cu`, that it is in: one module of a GPU's.
    pub fn module(self) -> String {
        match self.family {
            Family::Channels => self.family.name().to_owned(),
            family => format!("{}_{}", family.name(), self.strategy.name()),
        }
    }

    /// Its name in its module, such as `planes_on_chip_forward_f32`. That of a step has no strategy.
    pub fn name(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_", self.family.name())?;
        if self.strategy != Strategy::Split {
            write!(f, "{}_", self.strategy.name())?;
        }
        write!(f, "{}_{}", self.operation.name(), self.dtype)
    }
}

/// Every kernel there is.
pub fn all() -> impl Iterator<Item = Kernel> {
    Family::ALL
        .into_iter()
        .flat_map(|family| Strategy::ALL.map(|strategy| (family, strategy)))
        .flat_map(|(family, strategy)| {
            Operation::ALL.map(|operation| (family, strategy, operation))
        })
        .flat_map(move |(family, strategy, operation)| {
            DType::ALL.map(|dtype| Kernel {
                family,
                strategy,
                operation,
                dtype,
            })
        })
        .filter(|kernel| kernel.exists())
}
