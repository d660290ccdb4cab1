// Rows of which every column belongs to a channel: channels last and (N, C), where a channel is one column; and channels
// first with planes under 512 bytes, where a row is a sample and a channel is S neighbouring columns.
//
// `batch` counts the rows, `spatial` the columns of a channel, `packets` the packets of a row. A block has some whole
// channels and some rows; a thread has one packet's columns and every so many-th row, so what it needs of its channels
// stays in registers. Packets begin at multiples of 16 bytes from a row's begin; a group of channels begins at a packet.
#pragma once
#include "backward.cuh"
#include "grid_reduce.cuh"

// Some rows of a group of neighbouring channels.
struct ColumnTile {
    i64 first_channel;
    u32 channels;
    i64 first;
    i64 end;
};

// The group of channels with an index, and its rows of part `part`.
DEVICE ColumnTile column_tile(const Arguments& a, i64 group, u32 part) {
    const i64 channel = group * a.partition.group_channels, left = a.shape.channels - channel;
    const i64 first = part * a.partition.tile < a.shape.batch ? part * a.partition.tile : a.shape.batch;
    return ColumnTile{
        channel,
        left < a.partition.group_channels ? static_cast<u32>(left) : a.partition.group_channels,
        first,
        first + a.partition.tile < a.shape.batch ? first + a.partition.tile : a.shape.batch,
    };
}

// Slots of lane sums in shared memory: rows of threads are added up some at a time. src/gpu/plan/columns.rs has the same.
static constexpr u32 SUM_SLOTS = 128;
// Numbers of a channel that dx needs, the most of any step: MOST_COEFFICIENTS there.
static constexpr u32 COEFFICIENTS = 6;

// Where a thread's packet of a row is: loads.cuh.
template <class T>
struct ColumnPlace {
    i64 at;
    Lanes lanes;
    i64 first_mask_byte; // of the tile's first row
    u32 row;

    DEVICE i64 mask_byte(const Arguments& a) const { return first_mask_byte + row * a.shape.packets; }
};

// A thread's packet of every row.
template <class T>
struct Column {
    static constexpr int LANES = Width<T>::LANES;

    u32 width; // packets of a row of the tile
    u32 x;     // which of them
    u32 y;     // which of the rows that the block walks together
    u32 rows;  // how many those are
    i64 first; // its first value in the tile's first row
    i64 first_mask_byte;
    i64 row_values;
    Lanes lanes;

    DEVICE Column(const Arguments& a, const ColumnTile& tile) {
        // The last group may be narrower than the others.
        width = static_cast<u32>((tile.channels * a.shape.spatial + LANES - 1) / LANES);
        x = threadIdx.x % width;
        y = threadIdx.x / width;
        rows = blockDim.x / width;
        row_values = a.shape.channels * a.shape.spatial;
        const i64 of_row = tile.first_channel * a.shape.spatial + x * LANES;
        first = tile.first * row_values + of_row;
        first_mask_byte = tile.first * a.shape.packets + of_row / LANES;
        lanes = lanes_of<T>(0, row_values - of_row);
    }
    // Whether it walks; threads that do not fill a row are idle.
    DEVICE bool walks() const { return y < rows; }
    // Its packet of a row of the tile.
    DEVICE ColumnPlace<T> place(u32 row) const {
        return ColumnPlace<T>{first + row * row_values, lanes, first_mask_byte, row};
    }
    // Which of the tile's channels a lane belongs to.
    DEVICE u32 channel(const Arguments& a, int lane) const {
        return (x * LANES + static_cast<u32>(lane)) / static_cast<u32>(a.shape.spatial);
    }
    // What a lane needs of its channel, for all lanes: kept in registers from row to row.
    template <class Coefficients>
    DEVICE void read_coefficients(const Arguments& a, const Coefficients* of_channel, Coefficients* of_lane) const {
#pragma unroll
        for (int lane = 0; lane < LANES; lane++)
            if (walks() && lanes.has(lane)) of_lane[lane] = of_channel[channel(a, lane)];
    }
};

enum class Order { Forward, Reverse };

// Calls use(row, place, packets) for every row of this thread, counted from the tile's first, last row first if asked to,
// BATCH rows on their way at a time; load(row, place) reads what use is given.
template <class T, int BATCH, Order ORDER, class Load, class Use>
DEVICE void each_row(const Column<T>& column, const ColumnTile& tile, Load load, Use use) {
    typedef decltype(load(u32(), ColumnPlace<T>())) Loaded;
    const u32 rows = static_cast<u32>(tile.end - tile.first);
    if (!column.walks() || column.y >= rows) return;
    const u32 last = (rows - 1 - column.y) / column.rows * column.rows + column.y;
    const auto row_of = [&](u32 up) { return ORDER == Order::Forward ? up : last + column.y - up; };
    for (u32 up = column.y; up < rows; up += BATCH * column.rows) {
        Loaded loaded[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            if (up + i * column.rows >= rows) continue;
            const u32 row = row_of(up + i * column.rows);
            loaded[i] = load(row, column.place(row));
        }
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            if (up + i * column.rows >= rows) continue;
            const u32 row = row_of(up + i * column.rows);
            use(row, column.place(row), loaded[i]);
        }
    }
}

// For each of some channels the sum of get(channel, entry) over its entries, in order, in of_channel. All threads call it.
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

// From every thread's lane sums to those of the block's channels. Lanes in the mask `retaken` are taken from again(lane), in
// a loop of its own that is rarely entered.
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
    const u32 spatial = static_cast<u32>(a.shape.spatial);
    sum_by_channel(
        tile.channels, rows * spatial,
        [&](u32 channel, u32 entry) {
            const u32 of_tile = channel * spatial + entry % spatial;
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

// The sums of the tile's x about each channel's reference, in of_channel. load(row, place) gives the packets.
template <class T, class Load>
DEVICE void sum_rows(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile, Load load, Sums* scratch, Sums* of_channel) {
    typedef typename T::Compute Compute;
    constexpr int LANES = Width<T>::LANES;
    for (u32 i = threadIdx.x; i < tile.channels; i += blockDim.x)
        of_channel[i].sum = reference_of<T>(a, tile.first_channel + i);
    __syncthreads();
    Accumulator<T> accumulator = Accumulator<T>::zero();
    Compute pivot[LANES];
#pragma unroll
    for (int lane = 0; lane < LANES; lane++) pivot[lane] = 0;
    u32 count = 0;
    each_row<T, 4, Order::Forward>(column, tile, load, [&](u32, const ColumnPlace<T>&, const Packet<T>& x) {
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) {
            if (count == 0) pivot[lane] = finite_or_zero(x[lane]);
            add_value(accumulator, lane, x[lane], pivot[lane]);
        }
        count += 1;
    });
    u32 retaken = 0;
#pragma unroll
    for (int lane = 0; lane < LANES; lane++)
        if (column.lanes.has(lane) && out_of_range(accumulator.sum[lane], accumulator.product_sum[lane]))
            retaken |= 1u << lane;
    // Until the sums are there, their place holds the references: in registers they would crowd out the packets.
    const auto reference = [&](u32 lane) { return of_channel[column.channel(a, static_cast<int>(lane))].sum; };
    sum_lanes(
        a, column, tile,
        [&](int lane) {
            if (!column.lanes.has(lane) || (retaken >> lane & 1) != 0) return Sums::zero();
            const double pivot_of_lane = static_cast<double>(pivot[lane]);
            return rebase(
                accumulator.of_lane(lane), static_cast<double>(count), pivot_of_lane,
                reference(static_cast<u32>(lane)));
        },
        retaken, [&](u32 lane) { return sums_in_double(a, column, tile, lane, reference(lane)); }, scratch, of_channel);
}

// Σ dv and Σ dv·x̂ of the tile's channels, in of_channel. load(row, place) gives the packets; use(place, pair, of_lane) may
// use them too, and a lane's coefficients.
template <class T, class Load, class Use>
DEVICE void sum_row_gradients(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile,
    const ReduceCoefficients<typename T::Compute>* coefficients_of_channel, Load load, Use use, Sums* scratch,
    Sums* of_channel) {
    ReduceCoefficients<typename T::Compute> coefficients[Width<T>::LANES];
    column.read_coefficients(a, coefficients_of_channel, coefficients);
    Accumulator<T> accumulator = Accumulator<T>::zero();
    each_row<T, 2, Order::Forward>(column, tile, load, [&](u32, const ColumnPlace<T>& place, const PacketPair<T>& pair) {
        const auto of_lane = [&](int lane) { return coefficients[lane]; };
        use(place, pair, of_lane);
        add_gradients(a, accumulator, pair, of_lane, load_saved<T>(a, place), place.lanes);
    });
    sum_lanes(
        a, column, tile,
        [&](int lane) { return column.lanes.has(lane) ? accumulator.of_lane(lane) : Sums::zero(); }, 0,
        [](u32) { return Sums::zero(); }, scratch, of_channel);
}

// Normalizes the tile's rows; load(row, place) gives the packets.
template <class T, Order ORDER, class Load>
DEVICE void normalize_rows(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile,
    const Coefficients<typename T::Compute>* of_channel, Load load) {
    Coefficients<typename T::Compute> coefficients[Width<T>::LANES];
    column.read_coefficients(a, of_channel, coefficients);
    each_row<T, 4, ORDER>(column, tile, load, [&](u32, const ColumnPlace<T>& place, const Packet<T>& x) {
        write_normalized(a, x, [&](int lane) { return coefficients[lane]; }, place);
    });
}

// Writes dx of the tile's rows; load(row, place) gives the packets.
template <class T, Order ORDER, class Load>
DEVICE void write_row_gradients(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile,
    const InputCoefficients<typename T::Compute>* of_channel, Load load) {
    static_assert(
        sizeof(*of_channel) == COEFFICIENTS * sizeof(typename T::Compute), "the plan has room for so many of a channel");
    InputCoefficients<typename T::Compute> coefficients[Width<T>::LANES];
    column.read_coefficients(a, of_channel, coefficients);
    each_row<T, 2, ORDER>(column, tile, load, [&](u32, const ColumnPlace<T>& place, const PacketPair<T>& pair) {
        write_gradient(a, pair, [&](int lane) { return coefficients[lane]; }, place);
    });
}

// Packets of a row of a whole group.
template <class T>
DEVICE u32 column_packets(const Arguments& a) {
    constexpr int LANES = Width<T>::LANES;
    return static_cast<u32>((a.partition.group_channels * a.shape.spatial + LANES - 1) / LANES);
}

// Where the parts of a block's dynamic shared memory are: packets that are kept, lane sums, and per channel its sums and
// what it is written with.
template <class T>
struct ColumnShared {
    uint4* kept;
    Sums* scratch;
    Sums* of_channel;
    void* coefficients;

    DEVICE ColumnShared(const Arguments& a, uint4* dynamic, u32 kept_packets) {
        const u32 width = column_packets<T>(a);
        // The last group may be narrower and use slots that this one's width would leave over.
        const u32 slots = width < SUM_SLOTS ? SUM_SLOTS : width;
        kept = dynamic;
        scratch = reinterpret_cast<Sums*>(kept + kept_packets);
        of_channel = scratch + slots * Width<T>::LANES;
        coefficients = of_channel + a.partition.group_channels;
    }
};
