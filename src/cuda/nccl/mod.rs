//! NCCL, NVIDIA's library of collectives (feature `nccl`).

pub(crate) mod communicator;
pub(crate) mod library;
