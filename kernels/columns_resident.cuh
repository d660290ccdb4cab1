// Both passes over a block's rows in one launch, by columns: rows that fit are kept in shared memory between the passes,
// the others are read again, last first, the order in which the cache forgets least.
//
// The blocks of a group of channels must find each other's sums between the passes. How is the caller's: exchange(shared)
// is called by all threads when the block's own sums are in shared.of_channel, and statistics_of(shared, i), or
// sums_of(shared, i), by one thread for each channel i of the block after that; settled() by all threads when all of these
// have been.
#pragma once
#include "columns.cuh"

// The first row of the tile that is kept; those after it are too.
DEVICE u32 first_kept(const Arguments& a, const ColumnTile& tile) {
    const u32 rows = static_cast<u32>(tile.end - tile.first);
    return rows > a.partition.kept_rows ? rows - a.partition.kept_rows : 0;
}

template <class T, class Exchange, class StatisticsOf, class Settled>
DEVICE void columns_resident_forward(
    const Arguments& a, const ColumnTile& tile, uint4* dynamic, Exchange exchange, StatisticsOf statistics_of,
    Settled settled) {
    typedef typename T::Compute Compute;
    const Column<T> column(a, tile);
    const ColumnShared<T> shared(a, dynamic, a.partition.kept_rows * column_packets<T>(a));
    const u32 kept = first_kept(a, tile);
    const auto slot = [&](u32 row) { return shared.kept + (row - kept) * column.width + column.x; };
    if (threadIdx.x < tile.channels) prefetch_affine<Compute>(a, tile.first_channel + threadIdx.x);
    sum_rows(
        a, column, tile,
        [&](u32 row, const ColumnPlace<T>& place) {
            return row < kept ? load_x<T, Reuse::Again>(a, place) : load_x<T, Reuse::Once>(a, place);
        },
        [&](u32 row, const Packet<T>& x) {
            if (row >= kept) *slot(row) = x.raw();
        },
        shared);
    exchange(shared);
    Coefficients<Compute>* coefficients = shared.template behind_references<Coefficients<Compute>>(a);
    for (u32 i = threadIdx.x; i < tile.channels; i += blockDim.x)
        coefficients[i] = coefficients_of(affine_of<Compute>(a, tile.first_channel + i), statistics_of(shared, i));
    INJECT_FAULT(9, __syncthreads(), (void)0);
    settled();
    normalize_rows<T, Order::Reverse>(a, column, tile, coefficients, [&](u32 row, const ColumnPlace<T>& place) {
        return row < kept ? load_x<T, Reuse::Once>(a, place) : Packet<T>::of(*slot(row));
    });
}

template <class T, class Exchange, class SumsOf, class Settled>
DEVICE void columns_resident_backward(
    const Arguments& a, const ColumnTile& tile, uint4* dynamic, Exchange exchange, SumsOf sums_of, Settled settled) {
    typedef typename T::Compute Compute;
    const Column<T> column(a, tile);
    const ColumnShared<T> shared(a, dynamic, 2 * a.partition.kept_rows * column_packets<T>(a));
    const u32 kept = first_kept(a, tile);
    // One after the other: in pairs, neighbouring threads would meet in the same banks.
    uint4* const kept_dy = shared.kept + a.partition.kept_rows * column_packets<T>(a);
    const auto slot = [&](u32 row) { return (row - kept) * column.width + column.x; };
    ReduceCoefficients<Compute>* of_reduce = static_cast<ReduceCoefficients<Compute>*>(shared.coefficients);
    prefetch_rows(a, column, tile);
    for (u32 i = threadIdx.x; i < tile.channels; i += blockDim.x)
        of_reduce[i] = reduce_coefficients_of<T>(a, tile.first_channel + i);
    __syncthreads();
    sum_row_gradients<T, 2>(
        a, column, tile, of_reduce,
        [&](u32 row, const ColumnPlace<T>& place) {
            return row < kept ? load_pair<T, Reuse::Again>(a, place) : load_pair<T, Reuse::Once>(a, place);
        },
        [&](u32 row, const PacketPair<T>& pair) {
            if (row < kept) return;
            shared.kept[slot(row)] = pair.x.raw();
            kept_dy[slot(row)] = pair.dy.raw();
        },
        [](const ColumnPlace<T>&, const Gradients<T>&, auto) {}, shared.scratch, shared.of_channel);
    exchange(shared);
    InputCoefficients<Compute>* coefficients = static_cast<InputCoefficients<Compute>*>(shared.coefficients);
    for (u32 i = threadIdx.x; i < tile.channels; i += blockDim.x)
        coefficients[i] = input_coefficients_of<Compute>(a, tile.first_channel + i, sums_of(shared, i));
    __syncthreads();
    settled();
    write_row_gradients<T, Order::Reverse>(a, column, tile, coefficients, [&](u32 row, const ColumnPlace<T>& place) {
        if (row < kept) return load_pair<T, Reuse::Once>(a, place);
        return PacketPair<T>{Packet<T>::of(shared.kept[slot(row)]), Packet<T>::of(kept_dy[slot(row)])};
    });
}
