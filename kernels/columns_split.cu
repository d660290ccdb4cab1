// The steps one by one, by columns. Every part of the rows of every group of channels is a block; the kernels that reduce
// leave their sums in the workspace, and the last block of a group finalizes its channels.
//
//     statistics        reads x                       1 of T = the bytes of x
//     normalize         reads x, writes y             2 T (3 with a residual)
//     backward_reduce   reads x and dy                2 T; with constant statistics writes dx in the same pass, 3 T
//     backward_input    reads x and dy, writes dx     3 T
//
// Neighbouring blocks have neighbouring groups of the same rows. The second of two passes goes through the rows in
// reverse: it finds in the cache what the first read last.
#include "columns.cuh"

namespace {

struct GroupPart {
    u32 group;
    u32 part;
};

DEVICE GroupPart part_of_block(const Arguments& a) {
    const u32 block = a.choices.reverse != 0 ? gridDim.x - 1 - blockIdx.x : blockIdx.x;
    const u32 groups = gridDim.x / a.partition.tiles;
    return GroupPart{block % groups, block / groups};
}

// The sums of the whole of each channel in of_channel of the one block that finds them, and whether this is that block.
DEVICE bool grid_reduce(const Arguments& a, GroupPart here, const ColumnTile& tile, Sums* of_channel) {
    const u32 parts = a.partition.tiles;
    if (parts == 1) return true;
    store_partials(a, tile, here.part, of_channel);
    if (!is_last_block(a.workspace.counters + here.group, parts)) return false;
    sum_column_partials(a, tile, of_channel);
    return true;
}

template <class T>
DEVICE void columns_statistics(const Arguments& a) {
    DYNAMIC_SHARED(dynamic);
    const ColumnShared<T> shared(a, dynamic, 0);
    const GroupPart here = part_of_block(a);
    const ColumnTile tile = column_tile(a, here.group, here.part);
    const Column<T> column(a, tile);
    sum_rows(
        a, column, tile, [&](u32, const ColumnPlace<T>& place) { return load_x<T, Reuse::Again>(a, place); },
        [](u32, const Packet<T>&) {}, shared);
    if (!grid_reduce(a, here, tile, shared.of_channel)) return;
    for (u32 channel = threadIdx.x; channel < tile.channels; channel += blockDim.x)
        finalize_statistics<T>(
            a, tile.first_channel + channel, shared.references[channel], shared.of_channel[channel], true);
}

template <class T>
DEVICE void columns_normalize(const Arguments& a) {
    typedef typename T::Compute Compute;
    DYNAMIC_SHARED(dynamic);
    Coefficients<Compute>* of_channel = reinterpret_cast<Coefficients<Compute>*>(dynamic);
    const GroupPart here = part_of_block(a);
    const ColumnTile tile = column_tile(a, here.group, here.part);
    const Column<T> column(a, tile);
    prefetch_rows(a, column, tile);
    for (u32 i = threadIdx.x; i < tile.channels; i += blockDim.x) {
        const i64 channel = tile.first_channel + i;
        of_channel[i] = coefficients_of(affine_of<Compute>(a, channel), known_statistics<Compute>(a, channel));
    }
    __syncthreads();
    normalize_rows<T, Order::Forward>(
        a, column, tile, of_channel,
        [&](u32, const ColumnPlace<T>& place) { return load_x<T, Reuse::Once>(a, place); });
}

template <class T>
DEVICE void columns_backward_reduce(const Arguments& a) {
    typedef typename T::Compute Compute;
    DYNAMIC_SHARED(dynamic);
    const ColumnShared<T> shared(a, dynamic, 0);
    ReduceCoefficients<Compute>* coefficients = static_cast<ReduceCoefficients<Compute>*>(shared.coefficients);
    const GroupPart here = part_of_block(a);
    const ColumnTile tile = column_tile(a, here.group, here.part);
    const Column<T> column(a, tile);
    prefetch_rows(a, column, tile);
    for (u32 i = threadIdx.x; i < tile.channels; i += blockDim.x)
        coefficients[i] = reduce_coefficients_of<T>(a, tile.first_channel + i);
    __syncthreads();
    // Epilogues and what is written leave no registers for a second row of 16-bit values.
    constexpr int OTHERWISE = sizeof(typename T::Bits) == 2 ? 1 : 2;
    // A constant of the plain form.
    const bool writes = a.choices.batch_statistics == 0 && a.arrays.out != nullptr;
    sum_row_gradients<T, OTHERWISE>(
        a, column, tile, coefficients,
        [&](u32, const ColumnPlace<T>& place) { return load_pair<T, Reuse::Again>(a, place); },
        [](u32, const PacketPair<T>&) {},
        [&](const ColumnPlace<T>& place, const Gradients<T>& gradients, auto forward_of) {
            if (writes) write_constant_gradient(a, gradients, forward_of, place);
        },
        shared.scratch, shared.of_channel);
    if (!grid_reduce(a, here, tile, shared.of_channel)) return;
    for (u32 channel = threadIdx.x; channel < tile.channels; channel += blockDim.x)
        finalize_gradients<T>(a, tile.first_channel + channel, shared.of_channel[channel], true);
}

template <class T>
DEVICE void columns_backward_input(const Arguments& a) {
    typedef typename T::Compute Compute;
    DYNAMIC_SHARED(dynamic);
    InputCoefficients<Compute>* of_channel = reinterpret_cast<InputCoefficients<Compute>*>(dynamic);
    const GroupPart here = part_of_block(a);
    const ColumnTile tile = column_tile(a, here.group, here.part);
    const Column<T> column(a, tile);
    prefetch_rows(a, column, tile);
    for (u32 i = threadIdx.x; i < tile.channels; i += blockDim.x) {
        const i64 channel = tile.first_channel + i;
        of_channel[i] = input_coefficients_of<Compute>(a, channel, known_gradients<Compute>(a, channel));
    }
    __syncthreads();
    const bool reads_x = needs_x(a);
    write_row_gradients<T, Order::Forward>(a, column, tile, of_channel, [&](u32, const ColumnPlace<T>& place) {
        return PacketPair<T>{
            reads_x ? load_x<T, Reuse::Once>(a, place) : Packet<T>::zero(), load_dy<T, Reuse::Once>(a, place)};
    });
}

}  // namespace

#define KERNELS(T)                                                                                                \
    KERNEL(columns_statistics, T, 256, 2) { IN_COLUMN_FORM(T, forward_is_plain, columns_statistics); }            \
    KERNEL(columns_normalize, T, 256, 2) { IN_COLUMN_FORM(T, forward_is_plain, columns_normalize); }              \
    KERNEL(columns_backward_reduce, T, 256, 2) { IN_COLUMN_FORM(T, backward_is_plain, columns_backward_reduce); } \
    KERNEL(columns_backward_input, T, 256, 2) { IN_COLUMN_FORM(T, backward_is_plain, columns_backward_input); }

KERNELS(f32)
KERNELS(f16)
KERNELS(bf16)
KERNELS(f64)
