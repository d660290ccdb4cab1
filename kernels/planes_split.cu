// The steps one by one, on planes. Every tile of every channel is a block; the kernels that reduce leave their sums in
// the workspace, and the last block of a channel finalizes it.
//
//     statistics        reads x                       1 of T = the bytes of x
//     normalize         reads x, writes y             2 T (3 with a residual)
//     backward_reduce   reads x and dy                2 T; with constant statistics writes dx in the same pass, 3 T
//     backward_input    reads x and dy, writes dx     3 T
//
// Neighbouring blocks have neighbouring channels, so that what runs at one time lies together in memory. The second of
// two passes goes through the tiles in reverse: it finds in the cache what the first read last.
#include "planes.cuh"

namespace {

template <class T>
DEVICE PlaneTile tile_of_block(const Arguments& a, u32& index) {
    const u32 block = a.choices.reverse != 0 ? gridDim.x - 1 - blockIdx.x : blockIdx.x;
    const i64 channel = block % a.shape.channels;
    index = static_cast<u32>(block / a.shape.channels);
    const i64 packets = a.shape.batch * a.shape.packets;
    const i64 first = index * a.partition.tile, end = first + a.partition.tile;
    return PlaneTile{channel, first, INJECT_FAULT(10, end < packets, true) ? end : packets};
}

// The sums of the whole channel in thread 0 of the one block that finds them, and whether this is that block.
DEVICE bool grid_reduce(const Arguments& a, i64 channel, u32 index, Sums& sums) {
    if (a.partition.tiles == 1) return true;
    if (threadIdx.x == 0) store_partial(a, channel * a.partition.tiles + index, sums);
    if (!is_last_block(a.workspace.counters + channel, a.partition.tiles)) return false;
    sums = sum_partials(a, channel * a.partition.tiles, a.partition.tiles);
    return true;
}

template <class T, class Walk>
DEVICE void planes_statistics(const Arguments& a) {
    u32 index;
    const PlaneTile tile = tile_of_block<T>(a, index);
    const double reference = reference_of<T>(a, tile.channel);
    Sums sums = sum_tile<T, Walk>(
        a, tile, reference, [&](auto, const PlanePlace<T>& place) { return load_x<T, Reuse::Again>(a, place); },
        [](auto, const Packet<T>&) {});
    if (grid_reduce(a, tile.channel, index, sums) && threadIdx.x == 0)
        finalize_statistics<T>(a, tile.channel, reference, sums, true);
}

template <class T, class Walk>
DEVICE void planes_normalize(const Arguments& a) {
    typedef typename T::Compute Compute;
    u32 index;
    const PlaneTile tile = tile_of_block<T>(a, index);
    const Statistics<Compute> statistics = known_statistics<Compute>(a, tile.channel);
    const Affine<Compute> affine = affine_of<Compute>(a, tile.channel);
    normalize_tile<T, Walk, Residual::WithX>(a, tile, coefficients_of(affine, statistics), [&](auto, const PlanePlace<T>& place) {
        return load_x<T, Reuse::Once>(a, place);
    });
}

template <class T, class Walk>
DEVICE void planes_backward_reduce(const Arguments& a) {
    typedef typename T::Compute Compute;
    u32 index;
    const PlaneTile tile = tile_of_block<T>(a, index);
    const ReduceCoefficients<Compute> coefficients = reduce_coefficients_of<T>(a, tile.channel);
    const bool writes = a.arrays.out != nullptr;
    Sums sums = sum_gradients<T, Walk>(
        a, tile, coefficients, [&](auto, const PlanePlace<T>& place) { return load_pair<T, Reuse::Again>(a, place); },
        [](auto, const PacketPair<T>&) {},
        [&](const PlanePlace<T>& place, const Gradients<T>& gradients) {
            if (writes) write_constant_gradient(a, gradients, [&](int) { return coefficients.forward; }, place);
        });
    if (grid_reduce(a, tile.channel, index, sums) && threadIdx.x == 0)
        finalize_gradients<T>(a, tile.channel, sums, true);
}

template <class T, class Walk>
DEVICE void planes_backward_input(const Arguments& a) {
    typedef typename T::Compute Compute;
    u32 index;
    const PlaneTile tile = tile_of_block<T>(a, index);
    const Sums sums = known_gradients<Compute>(a, tile.channel);
    const bool reads_x = needs_x(a);
    write_gradients<T, Walk>(
        a, tile, input_coefficients_of<Compute>(a, tile.channel, sums), [&](auto, const PlanePlace<T>& place) {
            return PacketPair<T>{
                reads_x ? load_x<T, Reuse::Once>(a, place) : Packet<T>::zero(), load_dy<T, Reuse::Once>(a, place)};
        });
}

}  // namespace

#define KERNELS(T)                                                              \
    KERNEL(planes_statistics, T, 256, 2) {                                              \
        IN_PLANE_FORM(T, forward_is_plain, planes_statistics);                          \
    }                                                                                   \
    KERNEL(planes_normalize, T, 256, 2) {                                               \
        IN_PLANE_FORM(T, forward_is_plain, planes_normalize);                           \
    }                                                                                   \
    KERNEL(planes_backward_reduce, T, 256, 2) {                                         \
        IN_PLANE_FORM(T, backward_is_plain, planes_backward_reduce);                    \
    }                                                                                   \
    KERNEL(planes_backward_input, T, 256, 2) {                                          \
        IN_PLANE_FORM(T, backward_is_plain, planes_backward_input);                     \
    }

KERNELS(f32)
KERNELS(f16)
KERNELS(bf16)
KERNELS(f64)
