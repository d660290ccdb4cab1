// The two sums that every reduction takes per channel, and how threads, warps and blocks add theirs up. A thread adds a
// few dozen terms, rarely more than a hundred, in the compute type; everything above a thread is added in f64, in an
// order fixed by the launch's shape.
#pragma once
#include "element.cuh"

// Forward: Σ(x − reference), and of squares Σ(x − reference)². Backward: dβ = Σ dv, and dγ = Σ dv·x̂.
struct Sums {
    double sum;
    double product_sum;

    DEVICE static Sums zero() { return Sums{0.0, 0.0}; }
    DEVICE void add(Sums other) {
        sum += other.sum;
        product_sum += other.product_sum;
    }
};

// Another block's of the cluster.
DEVICE Sums load_sums_of_rank(const Sums& sums, u32 rank) {
    return Sums{load_shared_rank(sums.sum, rank), load_shared_rank(sums.product_sum, rank)};
}

static constexpr u32 WARP = 32;
static constexpr u32 MOST_THREADS = 512;
static constexpr u32 MOST_WARPS = MOST_THREADS / WARP;
static_assert(
    MOST_WARPS <= WARP && (MOST_WARPS & (MOST_WARPS - 1)) == 0, "one warp adds up the sums of all, by halves");

// The sum over `lanes` neighbouring lanes of a warp, a power of two, in the first of them. All lanes of the warp call it.
DEVICE Sums warp_sum(Sums sums, u32 lanes) {
    for (u32 offset = lanes / 2; offset > 0; offset /= 2) {
        const Sums above{
            __shfl_down_sync(FULL_WARP, sums.sum, offset), __shfl_down_sync(FULL_WARP, sums.product_sum, offset)};
        sums.add(above);
    }
    return sums;
}

// The sum over the block, in thread 0. All threads call it, and may write what they read before it.
DEVICE Sums block_sum(Sums sums) {
    SHARED(Sums, of_warp, MOST_WARPS);
    const u32 thread = threadIdx.x, warps = blockDim.x / WARP;
    sums = warp_sum(sums, WARP);
    // A sum before this one may still be read.
    __syncthreads();
    if (thread % WARP == 0) of_warp[thread / WARP] = sums;
    INJECT_FAULT(1, __syncthreads(), (void)0);
    if (thread < WARP) {
        sums = thread < warps ? of_warp[thread] : Sums::zero();
        sums = warp_sum(sums, MOST_WARPS);
    }
    return sums;
}

// A thread's sums, each lane of a packet on its own, so that chains are short and independent.
template <class T, class In = typename T::Compute>
struct Accumulator {
    static constexpr int LANES = Width<T>::LANES;

    In sum[LANES];
    In product_sum[LANES];

    DEVICE static Accumulator zero() {
        Accumulator accumulator;
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) accumulator.sum[lane] = accumulator.product_sum[lane] = 0;
        return accumulator;
    }
    DEVICE Sums of_lane(int lane) const {
        return Sums{static_cast<double>(sum[lane]), static_cast<double>(product_sum[lane])};
    }
    DEVICE Sums total() const {
        Sums sums = of_lane(0);
#pragma unroll
        for (int lane = 1; lane < LANES; lane++) sums.add(of_lane(lane));
        return sums;
    }
};
