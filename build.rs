//! Compiles the kernels for GPUs with nvcc (feature `cuda`).

#[cfg(feature = "cuda")]
#[path = "kernels/build/cuda.rs"]
mod cuda;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    cuda::build();
}
