//! Tells the processor's kernels whether they are optimized; and compiles those for GPUs with nvcc (feature `cuda`).

#[cfg(feature = "cuda")]
#[path = "kernels/build/cuda.rs"]
mod cuda;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    say_whether_optimized();
    #[cfg(feature = "cuda")]
    cuda::build();
}

/// The processor's kernels are inlined whole, into the one function that has the instruction set. Without optimization no two
/// variables of a function share their place, so that its frame is over a megabyte, and code that nobody asked to be fast takes
/// minutes to compile: there, the large pieces are functions of their own.
fn say_whether_optimized() {
    println!("cargo:rustc-check-cfg=cfg(unoptimized)");
    if std::env::var("OPT_LEVEL").is_ok_and(|level| level == "0") {
        println!("cargo:rustc-cfg=unoptimized");
    }
}
