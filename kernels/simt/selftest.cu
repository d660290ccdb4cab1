// Kernels for the tests of the host itself (kernels/simt/tests/simt/): some right, some with a mistake that the host must find.
#include "../computed.cuh"

// Values of a.arrays.x by their index in a block; a.partition.tile says what else the test wants.
DEVICE const float* x_of(const Arguments& a) { return static_cast<const float*>(a.arrays.x); }
DEVICE float* out_of(const Arguments& a) { return static_cast<float*>(a.arrays.out); }
DEVICE u32 index_in_grid() { return blockIdx.x * blockDim.x + threadIdx.x; }

// Which thread of which block ran.
KERNEL(selftest_indices, u32, 1024, 2) { static_cast<u32*>(a.arrays.out)[index_in_grid()] += 1 + index_in_grid(); }

// The sum of what the threads of a block give, in thread 0.
DEVICE double block_sum(double value) {
    SHARED(double, of_warps, 32);
    for (u32 offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(FULL_WARP, value, offset);
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
    INJECT_FAULT(9001, __syncthreads(), (void)0);
    double sum = 0;
    if (threadIdx.x == 0) {
        for (u32 warp = 0; warp < blockDim.x / 32; ++warp) sum += of_warps[warp];
    }
    return sum;
}

// One sum for each block.
KERNEL(selftest_block_sum, f32, 512, 2) {
    double sum = block_sum(x_of(a)[index_in_grid()]);
    if (threadIdx.x == 0) out_of(a)[blockIdx.x] = static_cast<float>(sum);
}

// A tree in shared memory, whose every step needs its barrier.
KERNEL(selftest_tree, f32, 512, 2) {
    DYNAMIC_SHARED(memory);
    float* sums = reinterpret_cast<float*>(memory);
    sums[threadIdx.x] = x_of(a)[index_in_grid()];
    __syncthreads();
    for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        INJECT_FAULT(9002, __syncthreads(), (void)0);
    }
    if (threadIdx.x == 0) out_of(a)[blockIdx.x] = sums[0];
}

// The sum over the grid, by the block that comes last.
KERNEL(selftest_last_block, f32, 256, 2) {
    double sum = block_sum(x_of(a)[index_in_grid()]);
    SHARED(u32, before, 1);
    if (threadIdx.x == 0) {
        a.workspace.partials[blockIdx.x] = sum;
        before[0] = atomic_add_acq_rel(a.workspace.counters, 1);
    }
    __syncthreads();
    if (before[0] == gridDim.x - 1 && threadIdx.x == 0) {
        double total = 0;
        for (u32 block = 0; block < gridDim.x; ++block) total += a.workspace.partials[block];
        out_of(a)[0] = static_cast<float>(total);
        store_release(a.workspace.counters, 0);
    }
}

// Each block gets the sum of its cluster from the blocks' shared memory.
KERNEL(selftest_cluster, f32, 256, 2) {
    double sum = block_sum(x_of(a)[index_in_grid()]);
    SHARED(double, mine, 1);
    if (threadIdx.x == 0) mine[0] = sum;
    INJECT_FAULT(9003, cluster_sync(), __syncthreads());
    if (threadIdx.x == 0) {
        double total = 0;
        for (u32 rank = 0; rank < cluster_num_blocks(); ++rank) total += load_shared_rank(mine[0], rank);
        out_of(a)[blockIdx.x] = static_cast<float>(total);
    }
    INJECT_FAULT(9004, cluster_sync(), (void)0);
}

// Each block waits for all and reads its neighbour's value.
KERNEL(selftest_grid, f32, 128, 1) {
    if (threadIdx.x == 0) {
        a.workspace.partials[blockIdx.x] = x_of(a)[blockIdx.x];
        atomic_add_acq_rel(a.workspace.counters, 1);
        while (INJECT_FAULT(9005, load_acquire(a.workspace.counters) < gridDim.x, false)) __nanosleep(POLL_NANOSECONDS);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        out_of(a)[blockIdx.x] = static_cast<float>(a.workspace.partials[(blockIdx.x + 1) % gridDim.x]);
        if (atomic_add_acq_rel(a.workspace.counters + 1, 1) == gridDim.x - 1) {
            store_release(a.workspace.counters, 0);
            store_release(a.workspace.counters + 1, 0);
        }
    }
}

// Packets of a.arrays.x to a.arrays.out, from byte a.partition.tile of both and as many as a.shape.packets.
KERNEL(selftest_packets, f32, 128, 2) {
    i64 packet = index_in_grid();
    if (packet >= a.shape.packets) return;
    const char* from = static_cast<const char*>(a.arrays.x) + a.partition.tile + packet * 16;
    char* to = static_cast<char*>(a.arrays.out) + a.partition.tile + packet * 16;
    store_16_once(reinterpret_cast<uint4*>(to), load_16(reinterpret_cast<const uint4*>(from)));
}

// Each thread copies its packet of each of two halves of a.arrays.x by way of shared memory, the second while it uses the first.
KERNEL(selftest_copies, f32, 64, 2) {
    DYNAMIC_SHARED(memory);
    const uint4* from = static_cast<const uint4*>(a.arrays.x) + threadIdx.x;
    uint4* to = static_cast<uint4*>(a.arrays.out) + threadIdx.x;
    CopiesInFlight copies;
    for (u32 half = 0; half < 2; half++) {
        copies.begin(memory + half * blockDim.x + threadIdx.x, from + half * blockDim.x);
        copies.end_group();
    }
    INJECT_FAULT(9006, copies.wait_for_all_groups_but_the_last(1), (void)0);
    to[0] = memory[threadIdx.x];
    copies.end_group();
    copies.wait_for_all_groups_but_the_last(1);
    to[blockDim.x] = memory[blockDim.x + threadIdx.x];
}

KERNEL(selftest_half_to_float, f16, 256, 2) {
    out_of(a)[index_in_grid()] = half_to_float(static_cast<const u16*>(a.arrays.x)[index_in_grid()]);
}
KERNEL(selftest_float_to_half, f16, 256, 2) {
    const u32 i = index_in_grid();
    const float x = x_of(a)[i];
    static_cast<u16*>(a.arrays.out)[i] =
        static_cast<u16>(i % 2 == 0 ? floats_to_halves(x, 1.0f) : floats_to_halves(1.0f, x) >> 16);
}
KERNEL(selftest_float_to_half, bf16, 256, 2) {
    const u32 i = index_in_grid();
    const float x = x_of(a)[i];
    static_cast<u16*>(a.arrays.out)[i] =
        static_cast<u16>(i % 2 == 0 ? floats_to_bfloats(x, 1.0f) : floats_to_bfloats(1.0f, x) >> 16);
}
KERNEL(selftest_arithmetic, f64, 32, 2) {
    const double* x = static_cast<const double*>(a.arrays.x);
    double* out = static_cast<double*>(a.arrays.out);
    if (threadIdx.x == 0) {
        out[0] = fma(x[0], x[1], x[2]);
        out[1] = __dsqrt_rn(x[3]);
        out[2] = fma(static_cast<float>(x[4]), static_cast<float>(x[5]), static_cast<float>(x[6]));
        out[3] = __longlong_as_double(__double_as_longlong(x[7]));
        out[4] = __uint_as_float(__float_as_uint(static_cast<float>(x[7])));
    }
}

// What was never written to shared memory.
KERNEL(selftest_unwritten, f32, 32, 2) {
    DYNAMIC_SHARED(memory);
    SHARED(float, named, 32);
    out_of(a)[threadIdx.x] = reinterpret_cast<float*>(memory)[threadIdx.x];
    out_of(a)[32 + threadIdx.x] = named[threadIdx.x];
}

// The mistakes.

KERNEL(selftest_divergent, f32, 64, 2) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
KERNEL(selftest_early_exit, f32, 64, 2) {
    if (threadIdx.x == 5) return;
    __syncthreads();
}
KERNEL(selftest_half_warp, f32, 64, 2) {
    if (threadIdx.x % 32 < 16) {
        out_of(a)[threadIdx.x] = static_cast<float>(__shfl_down_sync(FULL_WARP, 1.0, 1));
    } else {
        __syncthreads();
    }
}
KERNEL(selftest_never, f32, 64, 2) {
    if (threadIdx.x == 0) {
        while (load_acquire(a.workspace.counters) == 0) __nanosleep(POLL_NANOSECONDS);
    }
    __syncthreads();
}
KERNEL(selftest_cluster_exit, f32, 64, 2) {
    if (cluster_block_rank() != 0) cluster_sync();
}
KERNEL(selftest_deep, f32, 64, 2) {
    volatile char large[64 << 10];
    for (u32 i = 0; i < sizeof(large); i += 64) large[i] = 1;
    out_of(a)[threadIdx.x] = large[0];
}
// Byte a.partition.tile of dynamic shared memory is written, and byte a.shape.packets of a.arrays.out.
KERNEL(selftest_past_the_end, f32, 32, 2) {
    DYNAMIC_SHARED(memory);
    if (threadIdx.x == 0) {
        reinterpret_cast<char*>(memory)[a.partition.tile] = 0;
        static_cast<char*>(a.arrays.out)[a.shape.packets] = 0;
    }
}
// A packet is read after a copy to its place has begun.
KERNEL(selftest_copied_too_early, f32, 64, 2) {
    DYNAMIC_SHARED(memory);
    const uint4* from = static_cast<const uint4*>(a.arrays.x) + threadIdx.x;
    uint4* to = static_cast<uint4*>(a.arrays.out) + threadIdx.x;
    CopiesInFlight copies;
    memory[threadIdx.x] = *from;
    copies.begin(memory + threadIdx.x, from);
    *to = memory[threadIdx.x];
}
KERNEL(selftest_copied_twice, f32, 64, 2) {
    DYNAMIC_SHARED(memory);
    const uint4* from = static_cast<const uint4*>(a.arrays.x) + threadIdx.x;
    CopiesInFlight copies;
    copies.begin(memory + threadIdx.x, from);
    copies.end_group();
    copies.begin(memory + threadIdx.x, from);
}
KERNEL(selftest_counts, f32, 64, 2) { atomic_add_acq_rel(a.workspace.counters, 1); }
KERNEL(selftest_large_shared, f32, 64, 2) {
    SHARED(float, large, 1024);
    large[threadIdx.x] = 0;
    out_of(a)[threadIdx.x] = large[threadIdx.x];
}
// An activation that no kernel has an entry for; forward or, where a.partition.tile is not 0, backward.
KERNEL(selftest_unknown_activation, f32, 64, 2) {
    const Activation unknown = static_cast<Activation>(1000u);
    const float x = x_of(a)[threadIdx.x];
    out_of(a)[threadIdx.x] =
        a.partition.tile == 0 ? computed_forward(unknown, 1.0f, x) : computed_backward(unknown, 1.0f, x, x);
}
