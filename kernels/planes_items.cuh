// The items of work in which channels that fit no cluster are reduced and written, on planes: the tiles of a group of channels
// are reduced while those of the group before it, which the second-level cache still holds, are written. They are in one
// order, sums S and writes W of groups 0 to G − 1:
//
//     S(0) | S(1) W(0) | S(2) W(1) | ... | S(G−1) W(G−2) | W(G−1)
//
// and every block takes the next item until there is none. A write waits until its channel is finalized, which only depends on
// items with lower numbers; and what a block does is lower than what it has ahead. So the lowest item that is not done waits for
// nothing: whatever the order in which blocks run, and however few run at once, nothing waits forever. The last block to finish
// a channel adds up its tiles in order, so the bits do not depend on who took what. A group is written from its last tile to its
// first, the order in which the cache forgets least.
#pragma once
#include "planes.cuh"

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

DEVICE u32 number_of_items(const Arguments& a) { return 2 * static_cast<u32>(a.shape.channels) * a.partition.tiles; }

// The number of the next item that no block has. One thread calls it.
DEVICE u32 take_item(const Arguments& a) { return atomic_add_relaxed(next_item(a), 1); }

// Publishes the sums of an item, which thread 0 has; the last block of a channel has finalize(channel, sums) called by one thread.
template <class Finalize>
DEVICE void publish_sums(const Arguments& a, const Item& item, Sums sums, Finalize finalize) {
    const i64 channel = item.tile.channel;
    if (threadIdx.x == 0) store_partial(a, channel * a.partition.tiles + item.index, sums);
    if (!is_last_block(arrived_tiles(a, channel), a.partition.tiles)) return;
    sums = sum_partials(a, channel * a.partition.tiles, a.partition.tiles);
    if (threadIdx.x == 0) finalize(channel, sums);
    signal(finalized(a, channel));
}

// This block has no item left: the last to have none leaves the counters as they were found.
DEVICE void leave_items(const Arguments& a) {
    if (!is_last_block(departed_blocks(a), gridDim.x)) return;
    for (i64 channel = threadIdx.x; channel < a.shape.channels; channel += blockDim.x) *finalized(a, channel) = 0;
    if (INJECT_FAULT(8, threadIdx.x == 0, false)) *next_item(a) = 0;
}
