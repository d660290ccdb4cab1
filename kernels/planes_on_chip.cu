// A channel kept on the chip while it is reduced, on planes: one block has it, or the blocks of a cluster each a part.
//
//     forward     reads x, writes y          2 T: the least there is (T = the bytes of x)
//     backward    reads x and dy, writes dx  3 T: the least there is
//
// The packets go to shared memory as they are reduced, and are taken from there when the statistics are known. The
// blocks of a cluster read each other's sums in shared memory, all in the same order, and so all find the same bits.
#include "planes.cuh"

namespace {

// This block's part of its channel.
DEVICE PlaneTile part_of_block(const Arguments& a) {
    const i64 packets = a.shape.batch * a.shape.packets, first = cluster_block_rank() * a.partition.tile;
    const i64 end = first + a.partition.tile < packets ? first + a.partition.tile : packets;
    return PlaneTile{blockIdx.x / cluster_num_blocks(), first < end ? first : end, end};
}

// The sum over the cluster of what thread 0 of each block has, in thread 0 of each.
DEVICE Sums cluster_sum(Sums sums) {
    const u32 blocks = cluster_num_blocks();
    if (blocks == 1) return sums;
    SHARED(Sums, of_block, 1);
    if (threadIdx.x == 0) of_block[0] = sums;
    INJECT_FAULT(6, cluster_sync(), __syncthreads());
    if (threadIdx.x == 0) {
        sums = Sums::zero();
        for (u32 rank = 0; rank < blocks; rank++) sums.add(load_sums_of_rank(of_block[0], rank));
    }
    return sums;
}

template <class T, class Walk>
DEVICE void planes_on_chip_forward(const Arguments& a) {
    typedef typename T::Compute Compute;
    DYNAMIC_SHARED(kept);
    SHARED(Coefficients<Compute>, coefficients, 1);
    const PlaneTile tile = part_of_block(a);
    // Before the statistics, which are waited for; and before the others of the cluster can write y over x.
    const Affine<Compute> affine = affine_of<Compute>(a, tile.channel);
    const double reference = reference_of<T>(a, tile.channel);
    const Sums sums = cluster_sum(sum_tile<T, Walk>(
        a, tile, reference, [&](auto, const PlanePlace<T>& place) { return load_x<T, Reuse::Once>(a, place); },
        [&](auto slot, const Packet<T>& x) { kept[slot] = x.raw(); }));
    if (threadIdx.x == 0)
        coefficients[0] = coefficients_of(
            affine, finalize_statistics<T>(a, tile.channel, reference, sums, cluster_block_rank() == 0));
    __syncthreads();
    if (cluster_num_blocks() > 1) cluster_arrive_relaxed();
    normalize_tile<T, Walk, Residual::WithX>(
        a, tile, coefficients[0], [&](auto slot, const PlanePlace<T>&) { return Packet<T>::of(kept[slot]); });
    // A block's shared memory must last until the others have read its sums.
    if (cluster_num_blocks() > 1) cluster_wait();
}

template <class T, class Walk>
DEVICE void planes_on_chip_backward(const Arguments& a) {
    typedef typename T::Compute Compute;
    DYNAMIC_SHARED(kept);
    SHARED(InputCoefficients<Compute>, coefficients, 1);
    const PlaneTile tile = part_of_block(a);
    // One after the other: in pairs, neighbouring threads would meet in the same banks.
    uint4 *const kept_x = kept, *const kept_dy = kept + a.partition.tile;
    const Sums sums = cluster_sum(sum_gradients<T, Walk>(
        a, tile, reduce_coefficients_of<T>(a, tile.channel),
        [&](auto, const PlanePlace<T>& place) { return load_pair<T, Reuse::Once>(a, place); },
        [&](auto slot, const PacketPair<T>& pair) {
            kept_x[slot] = pair.x.raw();
            kept_dy[slot] = pair.dy.raw();
        },
        [](const PlanePlace<T>&, const Gradients<T>&) {}));
    if (threadIdx.x == 0)
        coefficients[0] = input_coefficients_of<Compute>(
            a, tile.channel, finalize_gradients<T>(a, tile.channel, sums, cluster_block_rank() == 0));
    __syncthreads();
    if (cluster_num_blocks() > 1) cluster_arrive_relaxed();
    write_gradients<T, Walk>(a, tile, coefficients[0], [&](auto slot, const PlanePlace<T>&) {
        return PacketPair<T>{Packet<T>::of(kept_x[slot]), Packet<T>::of(kept_dy[slot])};
    });
    // A block's shared memory must last until the others have read its sums.
    if (cluster_num_blocks() > 1) cluster_wait();
}

}  // namespace

// As many registers of a thread as for two blocks of 256 threads, which they are launched with too: 512 are for a block that has the
// shared memory of a multiprocessor alone.
#define KERNELS(T)                                                               \
    KERNEL(planes_on_chip_forward, T, 512, 1) {                                  \
        IN_PLANE_FORM(T, forward_is_plain, planes_on_chip_forward);              \
    }                                                                            \
    KERNEL(planes_on_chip_backward, T, 512, 1) {                                 \
        IN_PLANE_FORM(T, backward_is_plain, planes_on_chip_backward);            \
    }

KERNELS(f32)
KERNELS(f16)
KERNELS(bf16)
