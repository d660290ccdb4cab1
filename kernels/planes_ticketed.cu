// Channels that fit no cluster, on planes: one launch in which the tiles of a group of channels are reduced while those
// of the group before it, which the second-level cache still holds, are written.
//
//     forward     reads x, writes y          2 T from memory, 1 T more from the cache
//     backward    reads x and dy, writes dx  3 T from memory, 2 T more from the cache
//
// The items of work are in one order, sums S and writes W of groups 0 to G − 1:
//
//     S(0) | S(1) W(0) | S(2) W(1) | ... | S(G−1) W(G−2) | W(G−1)
//
// and every block takes the next item until there is none, one ahead of what it does, so that the ticket is there when it is
// needed. A write waits until its channel is finalized, which only depends on items with lower numbers. The lowest that is
// not done is never the one that a block has ahead, whose own item is lower: whatever the order in which blocks run, and
// however few run at once, nothing waits forever. The last block to finish a channel adds up its tiles in order, so the
// bits do not depend on who took what. A group is written from its last tile to its first, the order in which the cache
// forgets least.
#include "planes.cuh"

namespace {

// Counters of the workspace.
DEVICE u32* next_item(const Arguments& a) { return a.workspace.counters; }
DEVICE u32* departed_blocks(const Arguments& a) { return a.workspace.counters + 1; }
DEVICE u32* arrived_tiles(const Arguments& a, i64 channel) { return a.workspace.counters + 2 + 2 * channel; }
DEVICE u32* finalized(const Arguments& a, i64 channel) { return a.workspace.counters + 3 + 2 * channel; }

struct Item {
    bool sums;
    PlaneTile tile;
    u32 index; // of the tile within its channel
};

// The plan numbers items, channels and tiles in 32 bits, which a GPU divides by in a few instructions.
DEVICE Item item_of(const Arguments& a, bool sums, u32 group, u32 item) {
    const u32 first = group * a.partition.group_channels;
    const u32 left = static_cast<u32>(a.shape.channels) - first;
    const u32 channels = left < a.partition.group_channels ? left : a.partition.group_channels;
    if (!sums) item = channels * a.partition.tiles - 1 - item;
    const u32 index = item / channels;
    const i64 packets = a.shape.batch * a.shape.packets, begin = static_cast<i64>(index) * a.partition.tile;
    const i64 end = begin + a.partition.tile < packets ? begin + a.partition.tile : packets;
    return Item{sums, PlaneTile{first + item - index * channels, begin, end}, index};
}

// The item with a number.
DEVICE Item item_at(const Arguments& a, u32 number) {
    const u32 channels = static_cast<u32>(a.shape.channels);
    const u32 groups = (channels + a.partition.group_channels - 1) / a.partition.group_channels;
    const u32 whole = a.partition.group_channels * a.partition.tiles;
    const u32 last = channels * a.partition.tiles - (groups - 1) * whole;
    const u32 of_first = groups == 1 ? last : whole;
    if (number < of_first) return item_of(a, true, 0, number);
    number -= of_first;
    if (groups == 1) return item_of(a, false, 0, number);
    // Stages 1 to G − 2 have a whole group of sums and one of writes.
    const u32 stage = 1 + number / (2 * whole);
    if (stage < groups - 1) {
        number %= 2 * whole;
        return number < whole ? item_of(a, true, stage, number) : item_of(a, false, stage - 1, number - whole);
    }
    number -= (groups - 2) * 2 * whole;
    if (number < last) return item_of(a, true, groups - 1, number);
    number -= last;
    return number < whole ? item_of(a, false, groups - 2, number) : item_of(a, false, groups - 1, number - whole);
}

// Does every item this block can get: reduce(tile) gives a tile's sums in thread 0, finalize(channel, sums) is called by
// one thread when all are there, write(tile) when that has been done.
template <class Reduce, class Finalize, class Write>
DEVICE void each_item(const Arguments& a, Reduce reduce, Finalize finalize, Write write) {
    // By turns: the number before may still be read while the next is written.
    SHARED(u32, taken, 2);
    const u32 items = 2 * static_cast<u32>(a.shape.channels) * a.partition.tiles;
    u32 turn = 0;
    if (threadIdx.x == 0) taken[0] = atomic_add_relaxed(next_item(a), 1);
    __syncthreads();
    while (taken[turn] < items) {
        const Item item = item_at(a, taken[turn]);
        turn ^= 1;
        u32 ahead = 0;
        if (threadIdx.x == 0) ahead = atomic_add_relaxed(next_item(a), 1);
        const i64 channel = item.tile.channel;
        if (item.sums) {
            Sums sums = reduce(item.tile);
            if (threadIdx.x == 0) store_partial(a, channel * a.partition.tiles + item.index, sums);
            if (is_last_block(arrived_tiles(a, channel), a.partition.tiles)) {
                sums = sum_partials(a, channel * a.partition.tiles, a.partition.tiles);
                if (threadIdx.x == 0) finalize(channel, sums);
                signal(finalized(a, channel));
            }
        } else {
            wait(finalized(a, channel));
            write(item.tile);
        }
        if (threadIdx.x == 0) taken[turn] = ahead;
        __syncthreads();
    }
    if (!is_last_block(departed_blocks(a), gridDim.x)) return;
    for (i64 channel = threadIdx.x; channel < a.shape.channels; channel += blockDim.x) *finalized(a, channel) = 0;
    if (INJECT_FAULT(8, threadIdx.x == 0, false)) *next_item(a) = 0;
}

template <class T, class Walk>
DEVICE void planes_ticketed_forward(const Arguments& a) {
    typedef typename T::Compute Compute;
    each_item(
        a,
        [&](const PlaneTile& tile) {
            return sum_tile<T, Walk, Reuse::Again>(
                a, tile, reference_of<T>(a, tile.channel), [](auto, const Packet<T>&) {});
        },
        [&](i64 channel, Sums sums) { finalize_statistics<T>(a, channel, reference_of<T>(a, channel), sums, true); },
        [&](const PlaneTile& tile) {
            const Statistics<Compute> statistics = known_statistics<Compute>(a, tile.channel);
            const Coefficients<Compute> coefficients = coefficients_of(affine_of<Compute>(a, tile.channel), statistics);
            normalize_tile<T, Walk, Residual::AtUse>(a, tile, coefficients, [&](auto, const PlanePlace<T>& place) {
                return load_x<T, Reuse::Once>(a, place);
            });
        });
}

template <class T, class Walk>
DEVICE void planes_ticketed_backward(const Arguments& a) {
    typedef typename T::Compute Compute;
    each_item(
        a,
        [&](const PlaneTile& tile) {
            const ReduceCoefficients<Compute> coefficients = reduce_coefficients_of<T>(a, tile.channel);
            return sum_gradients<T, Walk, Reuse::Again>(
                a, tile, coefficients, [](auto, const PacketPair<T>&) {},
                [](const PlanePlace<T>&, const Gradients<T>&) {});
        },
        [&](i64 channel, Sums sums) { finalize_gradients<T>(a, channel, sums, true); },
        [&](const PlaneTile& tile) {
            const Sums sums = known_gradients<Compute>(a, tile.channel);
            write_gradients<T, Walk>(
                a, tile, input_coefficients_of<Compute>(a, tile.channel, sums), [&](auto, const PlanePlace<T>& place) {
                    return load_pair<T, Reuse::Once>(a, place);
                });
        });
}

}  // namespace

#define KERNELS(T)                                                                 \
    KERNEL(planes_ticketed_forward, T, 256, 2) {                                   \
        IN_PLANE_FORM(T, forward_is_plain, planes_ticketed_forward);               \
    }                                                                              \
    KERNEL(planes_ticketed_backward, T, 256, 2) {                                  \
        IN_PLANE_FORM(T, backward_is_plain, planes_ticketed_backward);             \
    }

KERNELS(f32)
KERNELS(f16)
KERNELS(bf16)
