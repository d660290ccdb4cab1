// A group of channels kept on the chip while it is reduced, by columns: the blocks of a cluster each have a part of its
// rows, all of which they keep.
//
//     forward     reads x, writes y          2 T: the least there is (T = the bytes of x)
//     backward    reads x and dy, writes dx  3 T: the least there is
//
// Each block reads the sums of the others in their shared memory, all in the same order, so all find the same bits.
#include "columns_resident.cuh"

namespace {

DEVICE ColumnTile part_of_block(const Arguments& a) {
    return column_tile(a, blockIdx.x / cluster_num_blocks(), cluster_block_rank());
}

// One channel's sums over the cluster.
DEVICE Sums cluster_sum(const Sums* of_channel, u32 channel) {
    Sums sums = Sums::zero();
    for (u32 rank = 0; rank < cluster_num_blocks(); rank++) sums.add(load_sums_of_rank(of_channel[channel], rank));
    return sums;
}

// The others' sums are there.
DEVICE void sync_parts() {
    if (cluster_num_blocks() > 1) cluster_sync();
}

// This block has read the others' sums.
DEVICE void arrive_at_end() {
    if (cluster_num_blocks() > 1) cluster_arrive_relaxed();
}

// All have: a block's shared memory must last until then.
DEVICE void wait_for_end() {
    if (cluster_num_blocks() > 1) cluster_wait();
}

template <class T>
DEVICE void columns_on_chip_forward(const Arguments& a) {
    DYNAMIC_SHARED(dynamic);
    const ColumnTile tile = part_of_block(a);
    columns_resident_forward<T>(
        a, tile, dynamic, [](const ColumnShared<T>&) { sync_parts(); },
        [&](const ColumnShared<T>& shared, u32 i) {
            const Sums sums = cluster_sum(shared.of_channel, i);
            return finalize_statistics<T>(
                a, tile.first_channel + i, shared.references[i], sums, cluster_block_rank() == 0);
        },
        arrive_at_end);
    wait_for_end();
}

template <class T>
DEVICE void columns_on_chip_backward(const Arguments& a) {
    DYNAMIC_SHARED(dynamic);
    const ColumnTile tile = part_of_block(a);
    columns_resident_backward<T>(
        a, tile, dynamic, [](const ColumnShared<T>&) { sync_parts(); },
        [&](const ColumnShared<T>& shared, u32 i) {
            const Sums sums = cluster_sum(shared.of_channel, i);
            return finalize_gradients<T>(a, tile.first_channel + i, sums, cluster_block_rank() == 0);
        },
        arrive_at_end);
    wait_for_end();
}

}  // namespace

// As many registers of a thread as for two blocks of 256 threads, which they are launched with too: 512 are for a block that has the
// shared memory of a multiprocessor alone.
#define KERNELS(T)                                                                                                  \
    KERNEL(columns_on_chip_forward, T, 512, 1) { IN_COLUMN_FORM(T, forward_is_plain, columns_on_chip_forward); }    \
    KERNEL(columns_on_chip_backward, T, 512, 1) { IN_COLUMN_FORM(T, backward_is_plain, columns_on_chip_backward); }

KERNELS(f32)
KERNELS(f16)
KERNELS(bf16)
