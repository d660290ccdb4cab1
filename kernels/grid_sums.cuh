// How the blocks that share a channel find each other's sums in global memory.
//
// Every block stores its sums as a partial of the workspace and counts itself; the last to arrive adds up all partials in
// order. Who is last is chance, what is added in which order is not.
#pragma once
#include "sums.cuh"

static_assert(sizeof(Sums) == 2 * sizeof(double), "a partial is two numbers of the workspace");

// One thread calls it; seen by whoever arrives later.
DEVICE void store_partial(const Arguments& a, i64 index, Sums sums) {
    a.workspace.partials[2 * index] = sums.sum;
    a.workspace.partials[2 * index + 1] = sums.product_sum;
}
DEVICE Sums load_partial(const Arguments& a, i64 index) {
    return Sums{a.workspace.partials[2 * index], a.workspace.partials[2 * index + 1]};
}

// Whether this block is the last of `blocks` to arrive at a counter, which is zero again then. All threads call it; what
// any of them wrote before is seen by all threads of the last block.
DEVICE bool is_last_block(u32* counter, u32 blocks) {
    SHARED(u32, last, 1);
    __syncthreads();
    if (threadIdx.x == 0) {
        last[0] = atomic_add_acq_rel(counter, 1) == INJECT_FAULT(2, blocks - 1, 0);
        if (last[0]) *counter = 0;
    }
    __syncthreads();
    return last[0] != 0;
}

// Tells the blocks that wait for a flag to go on. All threads call it; what any of them wrote before is seen after.
DEVICE void signal(u32* flag) {
    __syncthreads();
    if (threadIdx.x == 0) store_release(flag, 1);
}

// Waits for a flag. All threads call it.
DEVICE void wait(const u32* flag) {
    if (threadIdx.x == 0)
        while (INJECT_FAULT(3, load_acquire(flag) == 0, false)) __nanosleep(POLL_NANOSECONDS);
    __syncthreads();
}

// The sum of `count` neighbouring partials in order, in thread 0. All threads call it.
DEVICE Sums sum_partials(const Arguments& a, i64 first, u32 count) {
    Sums sums = Sums::zero();
    for (u32 index = threadIdx.x; index < count; index += blockDim.x) sums.add(load_partial(a, first + index));
    return block_sum(sums);
}
