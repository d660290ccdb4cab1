// Rows of which every column belongs to a channel: channels last and (N, C), where a channel is one column; channels
// first with planes under 512 bytes, where a row is a sample and a channel is S neighbouring columns; and channels last and
// (N, C) where C values do not end with a packet, but those of some rows do: these are joined to one, in which a channel is
// every C-th column, and whose channels are all of one group.
//
// `batch` counts the rows, `spatial` the columns of a channel, `neighbours` those of them that lie together, `packets` the
// packets of a row. A block has some whole channels and some rows; a thread has one packet's columns and every so many-th
// row, so what it needs of its channels stays in registers. Packets begin at multiples of 16 bytes from a row's begin; a group
// of channels begins at a packet.
#pragma once
#include "forms.cuh"
#include "sums.cuh"

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
static constexpr u32 COEFFICIENTS = 7;

// Where a thread's packet of a row is: loads.cuh.
template <class T>
struct ColumnPlace {
    i64 at;
    Lanes lanes;
    i64 row; // of the array
    u32 packet; // of the row: 2^32 of them would be 64 GB

    DEVICE i64 mask_byte(const Arguments& a) const { return row * a.shape.packets + packet; }
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
    i64 first_row;
    u32 packet; // of the array's rows
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
        first_row = tile.first;
        packet = static_cast<u32>(of_row / LANES);
        // Packets are aligned where a row is a whole number of them.
        lanes = is_plain_form(a) ? Lanes::all<T>() : lanes_of<T>(0, row_values - of_row);
    }
    // Whether it walks; threads that do not fill a row are idle.
    DEVICE bool walks() const { return y < rows; }
    // Its packet of a row of the tile.
    DEVICE ColumnPlace<T> place(u32 row) const {
        return ColumnPlace<T>{first + row * row_values, lanes, first_row + row, packet};
    }
    // Which of the tile's channels a lane belongs to.
    DEVICE u32 channel(const Arguments& a, int lane) const {
        const u32 of_tile = x * LANES + static_cast<u32>(lane);
        return of_tile / static_cast<u32>(a.shape.neighbours) % static_cast<u32>(a.shape.channels);
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

// Has this thread's first rows of x, and of dy where there is one, on their way to the cache: for kernels that wait for the
// numbers of their channels before they read the first row.
template <class T>
DEVICE void prefetch_rows(const Arguments& a, const Column<T>& column, const ColumnTile& tile) {
    typedef typename T::Bits Bits;
    const u32 rows = static_cast<u32>(tile.end - tile.first);
    if (!column.walks()) return;
#pragma unroll
    for (u32 i = 0; i < 2; i++) {
        const u32 row = column.y + i * column.rows;
        if (row >= rows) return;
        prefetch(static_cast<const Bits*>(a.arrays.x) + column.place(row).at);
        if (a.arrays.dy != nullptr) prefetch(static_cast<const Bits*>(a.arrays.dy) + column.place(row).at);
    }
}

// Calls use(row, place, packets) for every row of this thread, counted from the tile's first, last row first if asked to,
// BATCH rows on their way at a time, or OTHERWISE where the form is not the plain one; load(row, place) reads what use is given.
template <class T, int BATCH, Order ORDER, int OTHERWISE = BATCH, class Load, class Use>
DEVICE void each_row(const Arguments& a, const Column<T>& column, const ColumnTile& tile, Load load, Use use) {
    typedef decltype(load(u32(), ColumnPlace<T>())) Loaded;
    const u32 rows = static_cast<u32>(tile.end - tile.first);
    if (!column.walks() || column.y >= rows) return;
    const u32 last = (rows - 1 - column.y) / column.rows * column.rows + column.y;
    const auto row_of = [&](u32 up) { return ORDER == Order::Forward ? up : last + column.y - up; };
    u32 up = column.y;
    const auto batch = [&](auto is_whole_batch) {
        constexpr int SIZE = is_whole_batch.value ? BATCH : OTHERWISE;
        Loaded loaded[SIZE];
#pragma unroll
        for (int i = 0; i < SIZE; i++) {
            if (!is_whole_batch.value && up + i * column.rows >= rows) break;
            const u32 row = row_of(up + i * column.rows);
            loaded[i] = load(row, column.place(row));
        }
#pragma unroll
        for (int i = 0; i < SIZE; i++) {
            if (!is_whole_batch.value && up + i * column.rows >= rows) break;
            const u32 row = row_of(up + i * column.rows);
            use(row, column.place(row), loaded[i]);
        }
        up += SIZE * column.rows;
    };
    // A batch that is whole asks nothing of each row.
    if (is_plain_form(a))
        while (up + (BATCH - 1) * column.rows < rows) batch(Constant<true>());
    while (up < rows) batch(Constant<false>());
}

// The body of a kernel, in the form for the launch. A macro, because a function template is no argument of a function.
#define IN_COLUMN_FORM(T, is_plain, operation) \
    if (is_plain(a))                           \
        operation<T>(plain(a));                \
    else                                       \
        operation<T>(any(a))

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
    // Forward, of each channel: what its sums are about. A part of the coefficients' place, of which forward needs half.
    double* references;
    void* coefficients;

    DEVICE ColumnShared(const Arguments& a, uint4* dynamic, u32 kept_packets) {
        const u32 width = column_packets<T>(a);
        // The last group may be narrower and use slots that this one's width would leave over.
        const u32 slots = width < SUM_SLOTS ? SUM_SLOTS : width;
        kept = dynamic;
        scratch = reinterpret_cast<Sums*>(kept + kept_packets);
        of_channel = scratch + slots * Width<T>::LANES;
        references = reinterpret_cast<double*>(of_channel + a.partition.group_channels);
        coefficients = references;
    }
    template <class Coefficients>
    DEVICE Coefficients* behind_references(const Arguments& a) const {
        typedef typename T::Compute Compute;
        static_assert(sizeof(double) + sizeof(Coefficients) <= COEFFICIENTS * sizeof(Compute), "the plan has this room");
        return reinterpret_cast<Coefficients*>(references + a.partition.group_channels);
    }
};
