//! The kernels by name.

use crate::element::DType;

/// What a kernel does, and to which arrangement of values: whole planes of one channel, or rows of which every column
/// belongs to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each is described in the file of its name in kernels/"
)]
pub enum Operation {
    PlanesStatistics,
    PlanesNormalize,
    PlanesBackwardReduce,
    PlanesBackwardInput,
    PlanesOnChipForward,
    PlanesOnChipBackward,
    PlanesTicketedForward,
    PlanesTicketedBackward,
    ColumnsStatistics,
    ColumnsNormalize,
    ColumnsBackwardReduce,
    ColumnsBackwardInput,
    ColumnsOnChipForward,
    ColumnsOnChipBackward,
    ColumnsPersistentForward,
    ColumnsPersistentBackward,
    UpdateRunning,
    InverseStd,
}

impl Operation {
    /// Every one, with the name that its kernels' names begin with.
    pub const ALL: [(Operation, &'static str); 18] = [
        (Operation::PlanesStatistics, "planes_statistics"),
        (Operation::PlanesNormalize, "planes_normalize"),
        (Operation::PlanesBackwardReduce, "planes_backward_reduce"),
        (Operation::PlanesBackwardInput, "planes_backward_input"),
        (Operation::PlanesOnChipForward, "planes_on_chip_forward"),
        (Operation::PlanesOnChipBackward, "planes_on_chip_backward"),
        (Operation::PlanesTicketedForward, "planes_ticketed_forward"),
        (
            Operation::PlanesTicketedBackward,
            "planes_ticketed_backward",
        ),
        (Operation::ColumnsStatistics, "columns_statistics"),
        (Operation::ColumnsNormalize, "columns_normalize"),
        (Operation::ColumnsBackwardReduce, "columns_backward_reduce"),
        (Operation::ColumnsBackwardInput, "columns_backward_input"),
        (Operation::ColumnsOnChipForward, "columns_on_chip_forward"),
        (Operation::ColumnsOnChipBackward, "columns_on_chip_backward"),
        (
            Operation::ColumnsPersistentForward,
            "columns_persistent_forward",
        ),
        (
            Operation::ColumnsPersistentBackward,
            "columns_persistent_backward",
        ),
        (Operation::UpdateRunning, "update_running"),
        (Operation::InverseStd, "inverse_std"),
    ];

    /// What its kernels' names begin with.
    pub fn name(self) -> &'static str {
        let listed = Self::ALL.iter().find(|(operation, _)| *operation == self);
        listed.map_or("", |(_, name)| name)
    }

    /// The file of `kernels/`, without `.cu`, that its kernels are in: one module of a GPU's.
    pub fn module(self) -> &'static str {
        match self {
            Operation::PlanesStatistics
            | Operation::PlanesNormalize
            | Operation::PlanesBackwardReduce
            | Operation::PlanesBackwardInput => "planes_split",
            Operation::PlanesOnChipForward | Operation::PlanesOnChipBackward => "planes_on_chip",
            Operation::PlanesTicketedForward | Operation::PlanesTicketedBackward => {
                "planes_ticketed"
            }
            Operation::ColumnsStatistics
            | Operation::ColumnsNormalize
            | Operation::ColumnsBackwardReduce
            | Operation::ColumnsBackwardInput => "columns_split",
            Operation::ColumnsOnChipForward | Operation::ColumnsOnChipBackward => "columns_on_chip",
            Operation::ColumnsPersistentForward | Operation::ColumnsPersistentBackward => {
                "columns_persistent"
            }
            Operation::UpdateRunning | Operation::InverseStd => "channels",
        }
    }

    /// Whether there is a kernel of this type: `f64` has the split ones, and per-channel kernels only compute types.
    pub fn has(self, dtype: DType) -> bool {
        match self.module() {
            "planes_split" | "columns_split" => true,
            "channels" => matches!(dtype, DType::F32 | DType::F64),
            _ => dtype != DType::F64,
        }
    }
}

/// One kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// What it does.
    pub operation: Operation,
    /// To values of which type.
    pub dtype: DType,
}

impl Kernel {
    /// Its name in its module, such as `planes_statistics_f32`.
    pub fn name(self) -> String {
        format!("{}_{}", self.operation.name(), self.dtype)
    }
}

/// Every kernel there is.
pub fn all() -> impl Iterator<Item = Kernel> {
    let dtypes = [DType::F32, DType::F16, DType::BF16, DType::F64];
    Operation::ALL.into_iter().flat_map(move |(operation, _)| {
        dtypes
            .into_iter()
            .filter(move |dtype| operation.has(*dtype))
            .map(move |dtype| Kernel { operation, dtype })
    })
}
