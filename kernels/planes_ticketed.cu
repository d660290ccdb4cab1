// Channels that fit no cluster, on planes: one launch of items in one order (planes_items.cuh).
//
//     forward     reads x, writes y          2 T from memory, 1 T more from the cache
//     backward    reads x and dy, writes dx  3 T from memory, 2 T more from the cache
//
// A block has one item ahead of what it does, so that the ticket is there when it is needed.
#include "planes_items.cuh"

namespace {

// Does every item this block can get: reduce(tile) gives a tile's sums in thread 0, finalize(channel, sums) is called by
// one thread when all are there, write(tile) when that has been done.
template <class Reduce, class Finalize, class Write>
DEVICE void each_item(const Arguments& a, Reduce reduce, Finalize finalize, Write write) {
    // By turns: the number before may still be read while the next is written.
    SHARED(u32, taken, 2);
    const u32 items = number_of_items(a);
    u32 turn = 0;
    if (threadIdx.x == 0) taken[0] = take_item(a);
    __syncthreads();
    while (taken[turn] < items) {
        const Item item = item_at(a, taken[turn]);
        turn ^= 1;
        u32 ahead = 0;
        if (threadIdx.x == 0) ahead = take_item(a);
        if (item.sums) {
            publish_sums(a, item, reduce(item.tile), finalize);
        } else {
            wait(finalized(a, item.tile.channel));
            write(item.tile);
        }
        if (threadIdx.x == 0) taken[turn] = ahead;
        __syncthreads();
    }
    leave_items(a);
}

template <class T, class Walk>
DEVICE void planes_ticketed_forward(const Arguments& a) {
    typedef typename T::Compute Compute;
    each_item(
        a,
        [&](const PlaneTile& tile) {
            return sum_tile<T, Walk>(
                a, tile, reference_of<T>(a, tile.channel),
                [&](auto, const PlanePlace<T>& place) { return load_x<T, Reuse::Again>(a, place); },
                [](auto, const Packet<T>&) {});
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
            return sum_gradients<T, Walk>(
                a, tile, coefficients,
                [&](auto, const PlanePlace<T>& place) { return load_pair<T, Reuse::Again>(a, place); },
                [](auto, const PacketPair<T>&) {},
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
