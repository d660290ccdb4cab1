//! Compiles the kernels: with nvcc for GPUs (feature `cuda`), with a C++ compiler for the SIMT host (feature `simt`).

#[cfg(feature = "cuda")]
#[path = "kernels/build/cuda.rs"]
mod cuda;
#[cfg(feature = "simt")]
#[path = "kernels/build/simt.rs"]
mod simt;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    cuda::build();
    #[cfg(feature = "simt")]
    simt::build();
}
