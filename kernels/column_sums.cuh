// What a block's rows add up to for each of its channels: from lanes to threads, to the block, to the blocks of a group.
#pragma once
#include "backward.cuh"
#include "column_walk.cuh"
#include "grid_sums.cuh"

// For each of some channels the sum of get(channel, entry) over its entries, in order, in of_channel. All threads call
// it.
template <class Get>
DEVICE void sum_by_channel(u32 channels, u32 entries, Get get, Sums* of_channel) {
    u32 lanes = 1;
    while (lanes < entries && lanes < WARP) lanes *= 2;
    const u32 together = blockDim.x / lanes;
    for (u32 first = 0; first < channels; first += together) {
        const u32 channel = first + threadIdx.x / lanes;
        Sums sums = Sums::zero();
        if (channel < channels)
            for (u32 entry = threadIdx.x % lanes; entry < entries; entry += lanes) sums.add(get(channel, entry));
        sums = warp_sum(sums, lanes);
        if (channel < channels && threadIdx.x % lanes == 0) of_channel[channel] = sums;
    }
    __syncthreads();
}

// Leaves the sums of part `part` of the rows where the other blocks of the group find them. All threads call it.
DEVICE void store_partials(const Arguments& a, const ColumnTile& tile, u32 part, const Sums* of_channel) {
    for (u32 i = threadIdx.x; i < tile.channels; i += blockDim.x)
        store_partial(a, (tile.first_channel + i) * a.partition.tiles + part, of_channel[i]);
}

// The sums of all parts of the rows, in of_channel. All threads of the block that came last call it.
DEVICE void sum_column_partials(const Arguments& a, const ColumnTile& tile, Sums* of_channel) {
    const u32 parts = a.partition.tiles;
    sum_by_channel(
        tile.channels, parts,
        [&](u32 i, u32 part) { return load_partial(a, (tile.first_channel + i) * parts + part); }, of_channel);
}

// From every thread's lane sums to those of the block's channels. Lanes in the mask `retaken` are taken from again(lane),
// in a loop of its own that is rarely entered.
template <class T, class OfLane, class Again>
DEVICE void sum_lanes(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile, OfLane of_lane, u32 retaken, Again again,
    Sums* scratch, Sums* of_channel) {
    constexpr int LANES = Width<T>::LANES;
    static_assert(LANES <= 32, "a bit of `retaken` for each lane");
    const u32 together = column.width < SUM_SLOTS ? SUM_SLOTS / column.width : 1;
    const u32 slots = together * column.width;
    // Four lanes at a time: all at once would need more registers than anything else here.
#pragma unroll
    for (int part = 0; part < LANES; part += 4) {
        for (u32 round = 0; round * together < column.rows; round++) {
            if (column.walks() && column.y / together == round) {
                Sums* slot = scratch + column.y % together * column.width + column.x;
#pragma unroll
                for (int lane = part; lane < part + 4 && lane < LANES; lane++) {
                    Sums sums = of_lane(lane);
                    if (round > 0) sums.add(slot[lane * slots]);
                    slot[lane * slots] = sums;
                }
                const u32 retaken_here = retaken >> part & 15u;
#pragma unroll 1
                for (u32 lane = 0; retaken_here >> lane != 0; lane++)
                    if ((retaken_here >> lane & 1) != 0) slot[(part + lane) * slots].add(again(part + lane));
            }
            INJECT_FAULT(7, __syncthreads(), (void)0);
        }
    }
    const u32 rows = column.rows < together ? column.rows : together;
    const u32 spatial = static_cast<u32>(a.shape.spatial), neighbours = static_cast<u32>(a.shape.neighbours);
    sum_by_channel(
        tile.channels, rows * spatial,
        [&](u32 channel, u32 entry) {
            const u32 of_row = entry % spatial;
            const u32 of_tile = (of_row / neighbours * tile.channels + channel) * neighbours + of_row % neighbours;
            return scratch[of_tile % LANES * slots + entry / spatial * column.width + of_tile / LANES];
        },
        of_channel);
}

// The sums of one lane's rows about the reference, taken again in f64.
template <class T>
DEVICE Sums sums_in_double(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile, u32 lane, double reference) {
    Sums sums = Sums::zero();
    for (u32 row = column.y; row < tile.end - tile.first; row += column.rows)
        add_value_in_double(sums, value_at<T>(a.arrays.x, column.place(row).at + lane), reference);
    return sums;
}

// What sum_rows does, each thread's sums in the type In.
template <class T, class In, class Load, class Keep>
DEVICE void sum_rows_in(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile, Load load, Keep keep,
    const ColumnShared<T>& shared) {
    typedef typename T::Compute Compute;
    constexpr int LANES = Width<T>::LANES;
    // Each thread reads that of its first channel before its rows, and uses it after them: nothing waits for it.
    const u32 i = threadIdx.x;
    const typename T::Bits first = i < tile.channels ? first_bits_of<T>(a, tile.first_channel + i) : 0;
    Accumulator<T, In> accumulator = Accumulator<T, In>::zero();
    Compute pivot[LANES];
#pragma unroll
    for (int lane = 0; lane < LANES; lane++) pivot[lane] = 0;
    u32 count = 0;
    each_row<T, 4, Order::Forward>(a, column, tile, load, [&](u32 row, const ColumnPlace<T>&, const Packet<T>& x) {
        keep(row, x);
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) {
            if (count == 0) pivot[lane] = finite_or_zero(x[lane]);
            add_value(accumulator, lane, x[lane], pivot[lane]);
        }
        count += 1;
    });
    if (i < tile.channels) shared.references[i] = reference_from<T>(first);
    for (u32 other = i + blockDim.x; other < tile.channels; other += blockDim.x)
        shared.references[other] = reference_from<T>(first_bits_of<T>(a, tile.first_channel + other));
    __syncthreads();
    u32 retaken = 0;
#pragma unroll
    for (int lane = 0; lane < LANES; lane++)
        if (column.lanes.has(lane) && out_of_range(accumulator.sum[lane], accumulator.product_sum[lane]))
            retaken |= 1u << lane;
    const auto reference = [&](u32 lane) { return shared.references[column.channel(a, static_cast<int>(lane))]; };
    sum_lanes(
        a, column, tile,
        [&](int lane) {
            if (!column.lanes.has(lane) || (retaken >> lane & 1) != 0) return Sums::zero();
            const double pivot_of_lane = static_cast<double>(pivot[lane]);
            return rebase(
                accumulator.of_lane(lane), static_cast<double>(count), pivot_of_lane,
                reference(static_cast<u32>(lane)));
        },
        retaken, [&](u32 lane) { return sums_in_double(a, column, tile, lane, reference(lane)); }, shared.scratch,
        shared.of_channel);
}

// The sums of the tile's x about each channel's reference, in shared.of_channel. load(row, place) gives the packets; keep(row, x)
// may keep them, which as a part of load would have each load wait for the one before it.
template <class T, class Load, class Keep>
DEVICE void sum_rows(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile, Load load, Keep keep,
    const ColumnShared<T>& shared) {
    if (are_few<T>(a))
        sum_rows_in<T, double>(a, column, tile, load, keep, shared);
    else
        sum_rows_in<T, typename T::Compute>(a, column, tile, load, keep, shared);
}

// Σ dv and Σ dv·x̂ of one lane's rows, taken again in f64.
template <class T>
DEVICE Sums gradients_in_double(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile,
    ReduceCoefficients<typename T::Compute> coefficients, u32 lane) {
    // As the first of a packet of one value: a lane that only the running kernel knows would be looked up in an array, not in
    // registers.
    const Lanes first{0, 1};
    Sums sums = Sums::zero();
    for (u32 row = column.y; row < tile.end - tile.first; row += column.rows) {
        const ColumnPlace<T> place = column.place(row);
        const i64 at = place.at + lane;
        const PacketPair<T> pair{
            load<T, Reuse::Again>(a.arrays.x, at, first, false), load<T, Reuse::Again>(a.arrays.dy, at, first, false)};
        const SavedPacket<T> saved{load_saved<T>(a, place).mask >> lane, at, first};
        add_gradients_in_double(
            a, sums, BackwardPacket<T>{pair, saved}, [&](int) { return coefficients; },
            [&](int other) { return first.has(other); });
    }
    return sums;
}

// Σ dv and Σ dv·x̂ of the tile's channels, in of_channel. load(row, place) gives the packets, which keep(row, packets) may keep;
// write(place, gradients, forward_of) may write what follows from them. OTHERWISE: each_row.
template <class T, int OTHERWISE, class Load, class Keep, class Write>
DEVICE void sum_row_gradients(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile,
    const ReduceCoefficients<typename T::Compute>* coefficients_of_channel, Load load, Keep keep, Write write,
    Sums* scratch, Sums* of_channel) {
    ReduceCoefficients<typename T::Compute> coefficients[Width<T>::LANES];
    column.read_coefficients(a, coefficients_of_channel, coefficients);
    Accumulator<T> accumulator = Accumulator<T>::zero();
    each_row<T, 2, Order::Forward, OTHERWISE>(
        a, column, tile, [&](u32 row, const ColumnPlace<T>& place) { return with_saved(a, place, load(row, place)); },
        [&](u32 row, const ColumnPlace<T>& place, const BackwardPacket<T>& from) {
            const auto forward_of = [&](int lane) { return coefficients[lane].forward; };
            keep(row, from.pair);
            const Gradients<T> gradients = gradients_of(a, from, forward_of);
            add_gradients(accumulator, gradients, [&](int lane) { return coefficients[lane]; }, place.lanes);
            write(place, gradients, forward_of);
        });
    u32 retaken = 0;
#pragma unroll
    for (int lane = 0; lane < Width<T>::LANES; lane++)
        if (column.lanes.has(lane) && must_retake<T>(a, accumulator.of_lane(lane))) retaken |= 1u << lane;
    sum_lanes(
        a, column, tile,
        [&](int lane) {
            return column.lanes.has(lane) && (retaken >> lane & 1) == 0 ? accumulator.of_lane(lane) : Sums::zero();
        },
        retaken,
        [&](u32 lane) {
            const u32 channel = column.channel(a, static_cast<int>(lane));
            return gradients_in_double(a, column, tile, coefficients_of_channel[channel], lane);
        },
        scratch, of_channel);
}
