// Channels that fit no cluster, on planes: one launch of items in one order (planes_items.cuh), each of which is copied to shared
// memory while the one before it is worked on, so that memory is busy while sums are added up and statistics are waited for.
//
//     forward     reads x, writes y          2 T from memory, 1 T more from the cache
//     backward    reads x and dy, writes dx  3 T from memory, 2 T more from the cache
//
// A block has two or three places for tiles, as the plan says: one for the item that is worked on, the others for the next, whose
// packets are on their way; and the number of one more. What is written over x or dy is written by the item that has copied it, so a copy can begin before its channel is finalized. A thread uses only
// packets that it has copied itself: no barrier stands between a copy and its use. Sums are added up as planes_ticketed.cu adds
// up those of tiles of the same length, and have the same bits.
#include "planes_items.cuh"

namespace {

// Places of a block at the most: MOST_PLACES of src/gpu/plan/candidates/planes.rs.
static constexpr u32 MOST_PLACES = 3;

// Where the packets of a tile are copied to: one of the places, each with room for `ARRAYS` arrays.
template <int ARRAYS>
DEVICE uint4* place_of_array(const Arguments& a, uint4* dynamic, u32 turn, u32 array) {
    return dynamic + (turn * ARRAYS + array) * a.partition.tile;
}

// Begins the copy of a packet. One that is no whole, aligned 16 bytes of the channel's is there at once.
template <class T, Reuse REUSE>
DEVICE void begin_copy(
    CopiesInFlight& copies, uint4* to, const void* array, const PlanePlace<T>& place, bool aligned) {
    if (!aligned || !place.lanes.template full<T>()) {
        *to = load<T, REUSE>(array, place.at, place.lanes, false).raw();
        return;
    }
    const uint4* from = reinterpret_cast<const uint4*>(static_cast<const typename T::Bits*>(array) + place.at);
    if (REUSE == Reuse::Once)
        copies.begin_once(to, from);
    else
        copies.begin(to, from);
}

// Begins the copies of this thread's packets of a tile: of x, and of dy where there are two arrays.
template <class T, class Walk, int ARRAYS, Reuse REUSE>
DEVICE void begin_copies(
    const Arguments& a, const PlaneTile& tile, CopiesInFlight& copies, uint4* dynamic, u32 turn) {
    typedef typename Walk::Index Index;
    const Index count = static_cast<Index>(tile.end - tile.first);
    Walk walk(a, tile, blockDim.x);
#pragma unroll 4
    for (Index slot = threadIdx.x; slot < count; slot += blockDim.x) {
        const PlanePlace<T> place = walk.here(a, tile);
        begin_copy<T, REUSE>(
            copies, place_of_array<ARRAYS>(a, dynamic, turn, 0) + slot, a.arrays.x, place, is_aligned(a, Aligned::X));
        if (ARRAYS == 2)
            begin_copy<T, REUSE>(
                copies, place_of_array<ARRAYS>(a, dynamic, turn, 1) + slot, a.arrays.dy, place,
                is_aligned(a, Aligned::Dy));
        walk.next(a);
    }
}

// Does every item this block can get, as planes_ticketed.cu does: reduce and write are given which of the places a tile has been
// copied to.
template <class T, class Walk, int ARRAYS, class Reduce, class Finalize, class Write>
DEVICE void each_copied_item(const Arguments& a, uint4* dynamic, Reduce reduce, Finalize finalize, Write write) {
    // The item of each place.
    SHARED(u32, taken, MOST_PLACES);
    const u32 items = number_of_items(a), places = a.partition.places;
    CopiesInFlight copies;
    const auto begin = [&](u32 turn) {
        const u32 number = taken[turn];
        if (number < items) {
            const Item item = item_at(a, number);
            if (item.sums)
                begin_copies<T, Walk, ARRAYS, Reuse::Again>(a, item.tile, copies, dynamic, turn);
            else
                begin_copies<T, Walk, ARRAYS, Reuse::Once>(a, item.tile, copies, dynamic, turn);
        }
        copies.end_group();
    };
    if (threadIdx.x == 0)
        for (u32 turn = 0; turn < places; turn++) taken[turn] = take_item(a);
    __syncthreads();
    for (u32 turn = 0; turn < places - 1; turn++) begin(turn);
    u32 turn = 0;
    while (taken[turn] < items) {
        // The place of the item that was worked on last.
        begin(turn == 0 ? places - 1 : turn - 1);
        u32 ahead = 0;
        if (threadIdx.x == 0) ahead = take_item(a);
        const Item item = item_at(a, taken[turn]);
        INJECT_FAULT(11, copies.wait_for_all_groups_but_the_last(places - 1), (void)0);
        if (item.sums) {
            publish_sums(a, item, reduce(item.tile, turn), finalize);
        } else {
            wait(finalized(a, item.tile.channel));
            write(item.tile, turn);
        }
        // All have read what was taken before: there is a barrier in either kind of item.
        if (threadIdx.x == 0) taken[turn] = ahead;
        __syncthreads();
        turn = turn + 1 == places ? 0 : turn + 1;
    }
    leave_items(a);
}

template <class T, class Walk>
DEVICE void planes_pipelined_forward(const Arguments& a) {
    typedef typename T::Compute Compute;
    DYNAMIC_SHARED(dynamic);
    const auto copied = [&](u32 turn) {
        const uint4* const x = place_of_array<1>(a, dynamic, turn, 0);
        return [x](auto slot, const PlanePlace<T>&) { return Packet<T>::of(x[slot]); };
    };
    each_copied_item<T, Walk, 1>(
        a, dynamic,
        [&](const PlaneTile& tile, u32 turn) {
            return sum_tile<T, Walk>(
                a, tile, reference_of<T>(a, tile.channel), copied(turn), [](auto, const Packet<T>&) {});
        },
        [&](i64 channel, Sums sums) { finalize_statistics<T>(a, channel, reference_of<T>(a, channel), sums, true); },
        [&](const PlaneTile& tile, u32 turn) {
            const Statistics<Compute> statistics = known_statistics<Compute>(a, tile.channel);
            const Coefficients<Compute> coefficients = coefficients_of(affine_of<Compute>(a, tile.channel), statistics);
            normalize_tile<T, Walk, Residual::WithX>(a, tile, coefficients, copied(turn));
        });
}

template <class T, class Walk>
DEVICE void planes_pipelined_backward(const Arguments& a) {
    typedef typename T::Compute Compute;
    DYNAMIC_SHARED(dynamic);
    const auto copied = [&](u32 turn) {
        const uint4* const x = place_of_array<2>(a, dynamic, turn, 0);
        const uint4* const dy = place_of_array<2>(a, dynamic, turn, 1);
        return [x, dy](auto slot, const PlanePlace<T>&) {
            return PacketPair<T>{Packet<T>::of(x[slot]), Packet<T>::of(dy[slot])};
        };
    };
    each_copied_item<T, Walk, 2>(
        a, dynamic,
        [&](const PlaneTile& tile, u32 turn) {
            return sum_gradients<T, Walk>(
                a, tile, reduce_coefficients_of<T>(a, tile.channel), copied(turn), [](auto, const PacketPair<T>&) {},
                [](const PlanePlace<T>&, const Gradients<T>&) {});
        },
        [&](i64 channel, Sums sums) { finalize_gradients<T>(a, channel, sums, true); },
        [&](const PlaneTile& tile, u32 turn) {
            const Sums sums = known_gradients<Compute>(a, tile.channel);
            write_gradients<T, Walk>(a, tile, input_coefficients_of<Compute>(a, tile.channel, sums), copied(turn));
        });
}

}  // namespace

#define KERNELS(T)                                                                 \
    KERNEL(planes_pipelined_forward, T, 256, 2) {                                  \
        IN_PLANE_FORM(T, forward_is_plain, planes_pipelined_forward);              \
    }                                                                              \
    KERNEL(planes_pipelined_backward, T, 256, 2) {                                 \
        IN_PLANE_FORM(T, backward_is_plain, planes_pipelined_backward);            \
    }

KERNELS(f32)
KERNELS(f16)
KERNELS(bf16)
