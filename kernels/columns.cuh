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
    const i64 channel = group * a.group_channels, left = a.channels - channel;
    const i64 first = part * a.tile < a.batch ? part * a.tile : a.batch;
    return ColumnTile{
        channel,
        left < a.group_channels ? static_cast<u32>(left) : a.group_channels,
        first,
        first + a.tile < a.batch ? first + a.tile : a.batch,
    };
}

// Slots of lane sums in shared memory: rows of threads are added up some at a time.
static constexpr u32 SUM_SLOTS = 128;

// A thread's packet of every row.
template <class T>
struct Column {
    static constexpr int LANES = Width<T>::LANES;

    u32 width; // packets of a row of the tile
    u32 x;     // which of them
    u32 y;     // which of the rows that the block walks together
    u32 rows;  // how many those are
    i64 first; // its first value in the tile's first row
    i64 place; // its mask byte in the tile's first row
    i64 row_values;
    Lanes lanes;

    DEVICE Column(const Arguments& a, const ColumnTile& tile) {
        // The last group may be narrower than the others.
        width = static_cast<u32>((tile.channels * a.spatial + LANES - 1) / LANES);
        x = threadIdx.x % width;
        y = threadIdx.x / width;
        rows = blockDim.x / width;
        row_values = a.channels * a.spatial;
        const i64 of_row = tile.first_channel * a.spatial + x * LANES;
        first = tile.first * row_values + of_row;
        place = tile.first * a.packets + of_row / LANES;
        lanes = lanes_of<T>(0, row_values - of_row);
    }
    // Whether it walks; threads that do not fill a row are idle.
    DEVICE bool walks() const { return y < rows; }
    // Where its packet of a row of the tile is.
    DEVICE i64 at(u32 row) const { return first + row * row_values; }
    // Which of the tile's channels a lane belongs to.
    DEVICE u32 channel(const Arguments& a, int lane) const {
        return (x * LANES + static_cast<u32>(lane)) / static_cast<u32>(a.spatial);
    }
};

template <class T>
DEVICE i64 mask_place(const Arguments& a, const Column<T>& column, u32 row) {
    return column.place + row * a.packets;
}

template <class T>
DEVICE u32 marks_at(const Arguments& a, const Column<T>& column, u32 row) {
    return a.gate == MARKED ? a.mask[mask_place(a, column, row)] : 0;
}

enum class Order { Forward, Reverse };

// Calls use(row, packets) for every row of this thread, counted from the tile's first, last row first if asked to, BATCH
// rows on their way at a time.
template <class T, int BATCH, Order ORDER, class Load, class Use>
DEVICE void each_row(const Column<T>& column, const ColumnTile& tile, Load load, Use use) {
    typedef decltype(load(u32())) Loaded;
    const u32 rows = static_cast<u32>(tile.end - tile.first);
    if (!column.walks() || column.y >= rows) return;
    const u32 last = (rows - 1 - column.y) / column.rows * column.rows + column.y;
    // What runs from y up to last; backwards, a row is last + y − it.
    for (u32 up = column.y; up < rows; up += BATCH * column.rows) {
        Loaded loaded[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const u32 at = up + i * column.rows;
            if (at < rows) loaded[i] = load(ORDER == Order::Forward ? at : last + column.y - at);
        }
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const u32 at = up + i * column.rows;
            if (at < rows) use(ORDER == Order::Forward ? at : last + column.y - at, loaded[i]);
        }
    }
}

template <class T>
struct RowPair {
    Packet<T> x;
    Packet<T> dy;
};

template <class T, Reuse REUSE>
DEVICE Packet<T> load_x(const Arguments& a, const Column<T>& column, u32 row) {
    return load<T, REUSE>(a.x, column.at(row), column.lanes, (a.aligned & X) != 0);
}
template <class T, Reuse REUSE>
DEVICE Packet<T> load_dy(const Arguments& a, const Column<T>& column, u32 row) {
    return load<T, REUSE>(a.dy, column.at(row), column.lanes, (a.aligned & DY) != 0);
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

// From every thread's lane sums to those of the block's channels. Lanes marked as lost are taken from again(lane), in a
// loop of its own that is rarely entered.
template <class T, class OfLane, class Again>
DEVICE void sum_lanes(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile, OfLane of_lane, u32 lost, Again again,
    Sums* scratch, Sums* of_channel) {
    constexpr int LANES = Width<T>::LANES;
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
                const u32 lost_here = lost >> part & 15u;
#pragma unroll 1
                for (u32 lane = 0; lost_here >> lane != 0; lane++)
                    if ((lost_here >> lane & 1) != 0) slot[(part + lane) * slots].add(again(part + lane));
            }
            INJECT_FAULT(7, __syncthreads(), (void)0);
        }
    }
    const u32 rows = column.rows < together ? column.rows : together;
    const u32 spatial = static_cast<u32>(a.spatial);
    sum_by_channel(
        tile.channels, rows * spatial,
        [&](u32 channel, u32 entry) {
            const u32 of_tile = channel * spatial + entry % spatial;
            return scratch[of_tile % LANES * slots + entry / spatial * column.width + of_tile / LANES];
        },
        of_channel);
}

// The sums of one lane's rows about r, taken again in f64.
template <class T>
DEVICE Sums sums_in_double(const Arguments& a, const Column<T>& column, const ColumnTile& tile, u32 lane, double r) {
    Sums sums = Sums::zero();
    for (u32 row = column.y; row < tile.end - tile.first; row += column.rows) {
        const double difference = static_cast<double>(value_at<T>(a.x, column.at(row) + lane)) - r;
        sums.add(Sums{difference, difference * difference});
    }
    return sums;
}

// The sums of the tile's x about each channel's r, in of_channel. load(row) gives the packets.
template <class T, class Load>
DEVICE void sum_rows(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile, Load load, Sums* scratch, Sums* of_channel) {
    typedef typename T::Compute Compute;
    constexpr int LANES = Width<T>::LANES;
    for (u32 i = threadIdx.x; i < tile.channels; i += blockDim.x)
        of_channel[i].first = reference_of<T>(a, tile.first_channel + i);
    __syncthreads();
    Accumulator<T> accumulator = Accumulator<T>::zero();
    Compute k[LANES];
#pragma unroll
    for (int lane = 0; lane < LANES; lane++) k[lane] = 0;
    u32 count = 0;
    each_row<T, 4, Order::Forward>(column, tile, load, [&](u32, const Packet<T>& x) {
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) {
            if (count == 0) k[lane] = finite_or_zero(x[lane]);
            add_value(accumulator, lane, x[lane], k[lane]);
        }
        count += 1;
    });
    u32 lost = 0;
#pragma unroll
    for (int lane = 0; lane < LANES; lane++)
        if (column.lanes.has(lane) && overflowed(accumulator.first[lane], accumulator.second[lane])) lost |= 1u << lane;
    // Until the sums are there, their place holds the references: in registers they would crowd out the packets.
    const auto reference = [&](u32 lane) { return of_channel[column.channel(a, static_cast<int>(lane))].first; };
    sum_lanes(
        a, column, tile,
        [&](int lane) {
            if (!column.lanes.has(lane) || (lost >> lane & 1) != 0) return Sums::zero();
            const double k_of_lane = static_cast<double>(k[lane]);
            return rebase(accumulator.of_lane(lane), static_cast<double>(count), k_of_lane, reference(static_cast<u32>(lane)));
        },
        lost, [&](u32 lane) { return sums_in_double(a, column, tile, lane, reference(lane)); }, scratch, of_channel);
}

// Σ dv and Σ dv·x̂ of the tile's channels, in of_channel. load(row) gives the packets; use(row, pair, of_lane) may use
// them too, and a lane's coefficients.
template <class T, class Load, class Use>
DEVICE void sum_row_gradients(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile,
    const ReduceCoefficients<typename T::Compute>* of_channel_coefficients, Load load, Use use, Sums* scratch,
    Sums* of_channel) {
    ReduceCoefficients<typename T::Compute> coefficients[Width<T>::LANES];
#pragma unroll
    for (int lane = 0; lane < Width<T>::LANES; lane++)
        if (column.walks() && column.lanes.has(lane))
            coefficients[lane] = of_channel_coefficients[column.channel(a, lane)];
    Accumulator<T> accumulator = Accumulator<T>::zero();
    each_row<T, 2, Order::Forward>(column, tile, load, [&](u32 row, const RowPair<T>& pair) {
        const auto of_lane = [&](int lane) { return coefficients[lane]; };
        use(row, pair, of_lane);
        const u32 marks = marks_at(a, column, row);
        add_gradients<T>(a, accumulator, pair.x, pair.dy, of_lane, marks, column.lanes);
    });
    sum_lanes(
        a, column, tile,
        [&](int lane) { return column.lanes.has(lane) ? accumulator.of_lane(lane) : Sums::zero(); }, 0,
        [](u32) { return Sums::zero(); }, scratch, of_channel);
}

// Normalizes the tile's rows; load(row) gives the packets.
template <class T, Order ORDER, class Load>
DEVICE void normalize_rows(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile,
    const Coefficients<typename T::Compute>* of_channel, Load load) {
    Coefficients<typename T::Compute> coefficients[Width<T>::LANES];
#pragma unroll
    for (int lane = 0; lane < Width<T>::LANES; lane++)
        if (column.walks() && column.lanes.has(lane))
            coefficients[lane] = of_channel[column.channel(a, lane)];
    each_row<T, 4, ORDER>(column, tile, load, [&](u32 row, const Packet<T>& x) {
        const u32 marks =
            write_normalized<T>(a, x, [&](int lane) { return coefficients[lane]; }, column.at(row), column.lanes);
        if (a.mask != nullptr) a.mask[mask_place(a, column, row)] = static_cast<u8>(marks);
    });
}

// Writes dx of the tile's rows; load(row) gives the packets.
template <class T, Order ORDER, class Load>
DEVICE void write_row_gradients(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile,
    const InputCoefficients<typename T::Compute>* of_channel, Load load) {
    InputCoefficients<typename T::Compute> coefficients[Width<T>::LANES];
#pragma unroll
    for (int lane = 0; lane < Width<T>::LANES; lane++)
        if (column.walks() && column.lanes.has(lane))
            coefficients[lane] = of_channel[column.channel(a, lane)];
    each_row<T, 2, ORDER>(column, tile, load, [&](u32 row, const RowPair<T>& pair) {
        const u32 marks = marks_at(a, column, row);
        write_gradient<T>(
            a, pair.x, pair.dy, [&](int lane) { return coefficients[lane]; }, marks, column.at(row), column.lanes);
    });
}

// Packets of a row of a whole group.
template <class T>
DEVICE u32 column_packets(const Arguments& a) {
    constexpr int LANES = Width<T>::LANES;
    return static_cast<u32>((a.group_channels * a.spatial + LANES - 1) / LANES);
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
        coefficients = of_channel + a.group_channels;
    }
};
