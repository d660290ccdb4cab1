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
    const i64 packets = a.batch * a.packets, first = cluster_rank() * a.tile;
    const i64 end = first + a.tile < packets ? first + a.tile : packets;
    return PlaneTile{block_index() / cluster_blocks(), first < end ? first : end, end};
}

// The sum over the cluster of what thread 0 of each block has, in thread 0 of each.
DEVICE Sums cluster_sum(Sums sums) {
    const u32 blocks = cluster_blocks();
    if (blocks == 1) return sums;
    SHARED(Sums, of_block, 1);
    if (thread_index() == 0) of_block[0] = sums;
    PLANT(6, CLUSTER_BARRIER(), BLOCK_BARRIER());
    if (thread_index() == 0) {
        sums = Sums::zero();
        for (u32 rank = 0; rank < blocks; rank++) sums.add(*in_cluster(of_block, rank));
    }
    return sums;
}

template <class T>
DEVICE void planes_on_chip_forward(const Arguments& a) {
    typedef typename T::Compute Compute;
    DYNAMIC_SHARED(kept);
    SHARED(Coefficients<Compute>, coefficients, 1);
    const PlaneTile tile = part_of_block(a);
    const Sums sums = cluster_sum(
        sum_tile<T, ONCE>(a, tile, [&](i64 slot, const Packet<T>& x) { kept[slot] = x.raw(); }));
    if (thread_index() == 0)
        coefficients[0] =
            coefficients_of(a, tile.channel, finish_statistics<T>(a, tile.channel, sums, cluster_rank() == 0));
    BLOCK_BARRIER();
    normalize_tile<T>(
        a, tile, coefficients[0], [&](i64 slot, const PlanePlace&) { return Packet<T>::of(kept[slot]); });
    // A block's shared memory must last until the others have read its sums.
    if (cluster_blocks() > 1) CLUSTER_BARRIER();
}

template <class T>
DEVICE void planes_on_chip_backward(const Arguments& a) {
    typedef typename T::Compute Compute;
    DYNAMIC_SHARED(kept);
    SHARED(InputCoefficients<Compute>, coefficients, 1);
    const PlaneTile tile = part_of_block(a);
    const Sums sums = cluster_sum(sum_gradients<T, ONCE>(
        a, tile, reduce_coefficients_of<Compute>(a, tile.channel),
        [&](i64 slot, const PlanePlace&, const PacketPair<T>& pair) {
            kept[2 * slot] = pair.x.raw();
            kept[2 * slot + 1] = pair.dy.raw();
        }));
    if (thread_index() == 0)
        coefficients[0] = input_coefficients_of<Compute>(
            a, tile.channel, finish_gradients<Compute>(a, tile.channel, sums, cluster_rank() == 0));
    BLOCK_BARRIER();
    write_gradients<T>(a, tile, coefficients[0], [&](i64 slot, const PlanePlace&) {
        return PacketPair<T>{Packet<T>::of(kept[2 * slot]), Packet<T>::of(kept[2 * slot + 1])};
    });
    // A block's shared memory must last until the others have read its sums.
    if (cluster_blocks() > 1) CLUSTER_BARRIER();
}

}  // namespace

#define KERNELS(T)                                                               \
    KERNEL(planes_on_chip_forward, T, 256, 2) { planes_on_chip_forward<T>(a); }   \
    KERNEL(planes_on_chip_backward, T, 256, 2) { planes_on_chip_backward<T>(a); }

KERNELS(f32)
KERNELS(f16)
KERNELS(bf16)
