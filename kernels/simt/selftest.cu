// Kernels for the tests of the host itself (tests/simt/): some right, some with a mistake that the host must find.
#include "../device.cuh"

// Values of a.x by their index in a block; a.tile says what else the test wants.
DEVICE const float* x_of(const Arguments& a) { return static_cast<const float*>(a.x); }
DEVICE float* out_of(const Arguments& a) { return static_cast<float*>(a.out); }
DEVICE u32 index_in_grid() { return block_index() * block_threads() + thread_index(); }

// Which thread of which block ran.
KERNEL(selftest_indices, u32, 1024, 2) { static_cast<u32*>(a.out)[index_in_grid()] += 1 + index_in_grid(); }

// The sum of what the threads of a block give, in thread 0.
DEVICE double block_sum(double value) {
    SHARED(double, of_warps, 32);
    for (u32 offset = 16; offset > 0; offset /= 2) value += shuffle_down(value, offset);
    if (thread_index() % 32 == 0) of_warps[thread_index() / 32] = value;
    PLANT(9001, BLOCK_BARRIER(), (void)0);
    double sum = 0;
    if (thread_index() == 0) {
        for (u32 warp = 0; warp < block_threads() / 32; ++warp) sum += of_warps[warp];
    }
    return sum;
}

// One sum for each block.
KERNEL(selftest_block_sum, f32, 512, 2) {
    double sum = block_sum(x_of(a)[index_in_grid()]);
    if (thread_index() == 0) out_of(a)[block_index()] = static_cast<float>(sum);
}

// A tree in shared memory, whose every step needs its barrier.
KERNEL(selftest_tree, f32, 512, 2) {
    DYNAMIC_SHARED(memory);
    float* sums = reinterpret_cast<float*>(memory);
    sums[thread_index()] = x_of(a)[index_in_grid()];
    BLOCK_BARRIER();
    for (u32 half = block_threads() / 2; half > 0; half /= 2) {
        if (thread_index() < half) sums[thread_index()] += sums[thread_index() + half];
        PLANT(9002, BLOCK_BARRIER(), (void)0);
    }
    if (thread_index() == 0) out_of(a)[block_index()] = sums[0];
}

// The sum over the grid, by the block that comes last.
KERNEL(selftest_last_block, f32, 256, 2) {
    double sum = block_sum(x_of(a)[index_in_grid()]);
    SHARED(u32, before, 1);
    if (thread_index() == 0) {
        a.partials[block_index()] = sum;
        before[0] = count(a.counters, 1);
    }
    BLOCK_BARRIER();
    if (before[0] == grid_blocks() - 1 && thread_index() == 0) {
        double total = 0;
        for (u32 block = 0; block < grid_blocks(); ++block) total += a.partials[block];
        out_of(a)[0] = static_cast<float>(total);
        store_release(a.counters, 0);
    }
}

// Each block gets the sum of its cluster from the blocks' shared memory.
KERNEL(selftest_cluster, f32, 256, 2) {
    double sum = block_sum(x_of(a)[index_in_grid()]);
    SHARED(double, mine, 1);
    if (thread_index() == 0) mine[0] = sum;
    PLANT(9003, CLUSTER_BARRIER(), BLOCK_BARRIER());
    if (thread_index() == 0) {
        double total = 0;
        for (u32 rank = 0; rank < cluster_blocks(); ++rank) total += *in_cluster(mine, rank);
        out_of(a)[block_index()] = static_cast<float>(total);
    }
    PLANT(9004, CLUSTER_BARRIER(), (void)0);
}

// Each block waits for all and reads its neighbour's value.
KERNEL(selftest_grid, f32, 128, 1) {
    if (thread_index() == 0) {
        a.partials[block_index()] = x_of(a)[block_index()];
        count(a.counters, 1);
        while (PLANT(9005, load_acquire(a.counters) < grid_blocks(), false)) pause();
    }
    BLOCK_BARRIER();
    if (thread_index() == 0) {
        out_of(a)[block_index()] = static_cast<float>(a.partials[(block_index() + 1) % grid_blocks()]);
        if (count(a.counters + 1, 1) == grid_blocks() - 1) {
            store_release(a.counters, 0);
            store_release(a.counters + 1, 0);
        }
    }
}

// Packets of a.x to a.out, from byte a.tile of both and as many as a.packets.
KERNEL(selftest_packets, f32, 128, 2) {
    i64 packet = index_in_grid();
    if (packet >= a.packets) return;
    const char* from = static_cast<const char*>(a.x) + a.tile + packet * 16;
    store_16(static_cast<char*>(a.out) + a.tile + packet * 16, load_16(from));
}

KERNEL(selftest_half_to_float, f16, 256, 2) {
    out_of(a)[index_in_grid()] = half_to_float(static_cast<const u16*>(a.x)[index_in_grid()]);
}
KERNEL(selftest_float_to_half, f16, 256, 2) {
    static_cast<u16*>(a.out)[index_in_grid()] = float_to_half(x_of(a)[index_in_grid()]);
}
KERNEL(selftest_float_to_half, bf16, 256, 2) {
    static_cast<u16*>(a.out)[index_in_grid()] = float_to_bfloat(x_of(a)[index_in_grid()]);
}
KERNEL(selftest_arithmetic, f64, 32, 2) {
    const double* x = static_cast<const double*>(a.x);
    double* out = static_cast<double*>(a.out);
    if (thread_index() == 0) {
        out[0] = fused(x[0], x[1], x[2]);
        out[1] = square_root(x[3]);
        out[2] = fused(static_cast<float>(x[4]), static_cast<float>(x[5]), static_cast<float>(x[6]));
        out[3] = bits_to_double(double_to_bits(x[7]));
        out[4] = bits_to_float(float_to_bits(static_cast<float>(x[7])));
    }
}

// What was never written to shared memory.
KERNEL(selftest_unwritten, f32, 32, 2) {
    DYNAMIC_SHARED(memory);
    SHARED(float, named, 32);
    out_of(a)[thread_index()] = reinterpret_cast<float*>(memory)[thread_index()];
    out_of(a)[32 + thread_index()] = named[thread_index()];
}

// The mistakes.

KERNEL(selftest_divergent, f32, 64, 2) {
    if (thread_index() < 32) {
        BLOCK_BARRIER();
    } else {
        BLOCK_BARRIER();
    }
}
KERNEL(selftest_early_exit, f32, 64, 2) {
    if (thread_index() == 5) return;
    BLOCK_BARRIER();
}
KERNEL(selftest_half_warp, f32, 64, 2) {
    if (thread_index() % 32 < 16) {
        out_of(a)[thread_index()] = static_cast<float>(shuffle_down(1.0, 1));
    } else {
        BLOCK_BARRIER();
    }
}
KERNEL(selftest_never, f32, 64, 2) {
    if (thread_index() == 0) {
        while (load_acquire(a.counters) == 0) pause();
    }
    BLOCK_BARRIER();
}
KERNEL(selftest_cluster_exit, f32, 64, 2) {
    if (cluster_rank() != 0) CLUSTER_BARRIER();
}
KERNEL(selftest_deep, f32, 64, 2) {
    volatile char large[64 << 10];
    for (u32 i = 0; i < sizeof(large); i += 64) large[i] = 1;
    out_of(a)[thread_index()] = large[0];
}
// Byte a.tile of dynamic shared memory is written, and byte a.packets of a.out.
KERNEL(selftest_past_the_end, f32, 32, 2) {
    DYNAMIC_SHARED(memory);
    if (thread_index() == 0) {
        reinterpret_cast<char*>(memory)[a.tile] = 0;
        static_cast<char*>(a.out)[a.packets] = 0;
    }
}
KERNEL(selftest_counts, f32, 64, 2) { count(a.counters, 1); }
KERNEL(selftest_large_shared, f32, 64, 2) {
    SHARED(float, large, 1024);
    large[thread_index()] = 0;
    out_of(a)[thread_index()] = large[thread_index()];
}
