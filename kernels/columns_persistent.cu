// Channels too long for a cluster, by columns: one cooperative launch, all of whose blocks run at once. Each has a part
// of the rows of a group of channels, keeps as many of them as its shared memory holds, and reads the others again.
//
//     forward     reads x, writes y          2 T from memory, and what is neither kept nor in the cache once more
//     backward    reads x and dy, writes dx  3 T from memory, and twice what is neither kept nor in the cache
//                                            (T = the bytes of x)
//
// The last block of a group to arrive adds up the sums of all, in order, finalizes the group's channels and lets the
// others go on; the last to depart leaves the counters as they were found.
#include "columns_resident.cuh"

namespace {

// Counters of the workspace, of a group.
DEVICE u32* arrived(const Arguments& a, i64 group) { return a.workspace.counters + 3 * group; }
DEVICE u32* finalized(const Arguments& a, i64 group) { return a.workspace.counters + 3 * group + 1; }
DEVICE u32* departed(const Arguments& a, i64 group) { return a.workspace.counters + 3 * group + 2; }

struct GroupPart {
    i64 group;
    u32 part;
};

DEVICE GroupPart part_of_block(const Arguments& a) {
    return GroupPart{blockIdx.x / a.partition.tiles, blockIdx.x % a.partition.tiles};
}

// Waits until finalize(channel, sums) has been called for every channel of the group, by this block or another.
template <class Finalize>
DEVICE void grid_reduce(const Arguments& a, GroupPart here, const ColumnTile& tile, Sums* of_channel, Finalize finalize) {
    store_partials(a, tile, here.part, of_channel);
    if (is_last_block(arrived(a, here.group), a.partition.tiles)) {
        sum_column_partials(a, tile, of_channel);
        for (u32 i = threadIdx.x; i < tile.channels; i += blockDim.x)
            finalize(tile.first_channel + i, of_channel[i]);
        signal(finalized(a, here.group));
    } else {
        wait(finalized(a, here.group));
    }
    if (is_last_block(departed(a, here.group), a.partition.tiles) && threadIdx.x == 0) *finalized(a, here.group) = 0;
}

template <class T>
DEVICE void columns_persistent_forward(const Arguments& a) {
    typedef typename T::Compute Compute;
    DYNAMIC_SHARED(dynamic);
    const GroupPart here = part_of_block(a);
    const ColumnTile tile = column_tile(a, here.group, here.part);
    columns_resident_forward<T>(
        a, tile, dynamic,
        [&](const ColumnShared<T>& shared) {
            grid_reduce(a, here, tile, shared.of_channel, [&](i64 channel, Sums sums) {
                finalize_statistics<T>(
                    a, channel, shared.references[channel - tile.first_channel], sums, true);
            });
        },
        [&](const ColumnShared<T>&, u32 i) { return known_statistics<Compute>(a, tile.first_channel + i); },
        [] {});
}

template <class T>
DEVICE void columns_persistent_backward(const Arguments& a) {
    typedef typename T::Compute Compute;
    DYNAMIC_SHARED(dynamic);
    const GroupPart here = part_of_block(a);
    const ColumnTile tile = column_tile(a, here.group, here.part);
    columns_resident_backward<T>(
        a, tile, dynamic,
        [&](const ColumnShared<T>& shared) {
            grid_reduce(a, here, tile, shared.of_channel, [&](i64 channel, Sums sums) {
                finalize_gradients<T>(a, channel, sums, true);
            });
        },
        [&](const ColumnShared<T>&, u32 i) { return known_gradients<Compute>(a, tile.first_channel + i); },
        [] {});
}

}  // namespace

#define KERNELS(T)                                                                                                        \
    KERNEL(columns_persistent_forward, T, 256, 2) { IN_COLUMN_FORM(T, forward_is_plain, columns_persistent_forward); }    \
    KERNEL(columns_persistent_backward, T, 256, 2) { IN_COLUMN_FORM(T, backward_is_plain, columns_persistent_backward); }

KERNELS(f32)
KERNELS(f16)
KERNELS(bf16)
