// What every kernel is given: src/gpu/arguments.rs is this struct in Rust, field for field. A kernel uses what its file
// names and leaves the rest alone.
#pragma once

struct Arguments {
    // Arrays of all values, of the kernel's type. `out` is y or dx, and may be x or dy.
    const void* x;
    const void* dy;
    void* out;
    const void* residual;
    void* dresidual;
    // One byte for each 16-byte packet, one bit for each value: whether y is above zero. May be null.
    u8* mask;
    // Arrays of one value per channel, of the type that is computed in.
    const void* gamma;
    const void* beta;
    void* mean;
    void* mean_low;
    void* variance;
    void* inv_std;
    // Null where no running statistics follow.
    void* running_mean;
    void* running_variance;
    // dγ = Σ dv·x̂ and dβ = Σ dv.
    void* sum_gamma;
    void* sum_beta;
    // Workspace. Counters are zero before and after every launch.
    u32* counters;
    double* partials;

    double epsilon;
    // How much of the batch the running statistics take over, and from the biased variance to theirs.
    double factor;
    double correction;
    // M, over which Σ dv and Σ dv·x̂ were taken.
    double count;

    // (N, C, S), channels first; or, by columns, `batch` rows of channels·spatial values.
    i64 batch;
    i64 channels;
    i64 spatial;
    // Packets of a plane or of a row.
    i64 packets;

    // How the work is cut, by the plan.
    i64 tile;           // packets of a channel, or rows, that a tile has
    u32 tiles;          // tiles of a channel, or of a group of columns
    u32 group_channels; // channels that a block (by columns) or a group of tickets (by planes) has
    u32 kept_rows;      // rows that a block keeps in shared memory

    u32 epilogue; // Epilogue below
    u32 gate;     // Gate below
    u32 of_batch; // whether the statistics are the batch's
    u32 reverse;  // whether the last tile comes first
    u32 aligned;  // one bit for each array below whose packets are 16-byte aligned
};

enum Epilogue { KEEP = 0, RELU = 1, ADD = 2, ADD_RELU = 3 };
enum Gate { OPEN = 0, RECOMPUTED = 1, MARKED = 2 };
enum Aligned { X = 1, DY = 2, OUT = 4, RESIDUAL = 8, DRESIDUAL = 16 };
