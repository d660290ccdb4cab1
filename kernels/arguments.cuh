// What every kernel is given: src/gpu/arguments.rs is these structs in Rust, field for field. A kernel uses what its file
// names and leaves the rest alone.
#pragma once

// Arrays of all values, of the kernel's type.
struct Arrays {
    const void* x;
    const void* dy;
    void* out; // y or dx; may be x or dy
    const void* residual; // added before the activation unless null
    void* dresidual;
    // One byte for each 16-byte packet, one bit for each value: whether dy passes, as epilogue.cuh says.
    u8* mask;
    // v, for activations whose derivative a bit cannot tell. Null where none is saved: only they have it, after a residual.
    void* preactivation;
};

// Arrays of one value per channel, of the type that is computed in.
struct ChannelArrays {
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
    void* dgamma;
    void* dbeta;
};

// Memory that only this stream's launches use.
struct Workspace {
    u32* counters; // zero before and after every launch
    double* partials;
};

struct Numbers {
    double epsilon;
    // How much of the batch the running statistics take over, and from the biased variance to theirs.
    double running_weight;
    double variance_correction;
    double count; // M, over which Σ dv and Σ dv·x̂ were taken
    double parameter; // of the activation, where it has one: the slope of leaky ReLU, the alpha of ELU
};

// (N, C, S), channels first; or, by columns, `batch` rows of channels·spatial values.
struct ArrayShape {
    i64 batch;
    i64 channels;
    i64 spatial;
    i64 packets; // of a plane or of a row
    // Of a channel's `spatial` values those that lie together: all, or by columns one, where a row is several of the array's.
    i64 neighbours;
};

// Which part of the work a block has, as the launch plan says.
struct Partition {
    i64 tile;           // packets of a channel, or rows, that a tile has
    u32 tiles;          // tiles of a channel, or of a group of columns
    u32 group_channels; // channels that a block (by columns) or a group of tickets (by planes) has
    u32 kept_rows;      // rows that a block keeps in shared memory
    u32 places;         // tiles of which a block has the packets in shared memory, or on their way there
};

// What becomes of v = (x − mean)·inv_std·γ + β + residual: epilogue.cuh and computed.cuh.
enum class Activation : u32 {
    None = 0,
    Relu = 1,
    Relu6 = 2,
    LeakyRelu = 3,
    Silu = 4,
    Elu = 5,
    Hardswish = 6,
    Sigmoid = 7,
    Tanh = 8,
    Gelu = 9,
    GeluTanh = 10,
};
// What forward keeps of v for backward.
enum class Saved : u32 { Nothing = 0, Mask = 1, PreActivation = 2 };
// Bits of Choices::aligned.
enum class Aligned : u32 { X = 1, Dy = 2, Out = 4, Residual = 8, Dresidual = 16, PreActivation = 32 };

struct Choices {
    Activation activation;
    Saved saved;
    u32 batch_statistics; // whether the statistics are the batch's, and dx goes through them
    u32 reverse;          // whether the last tile comes first
    u32 aligned;          // one bit for each array of which all packets are 16-byte aligned
    u32 only_finite;      // whether running statistics stay as they are where they would not be finite
};

struct Arguments {
    Arrays arrays;
    ChannelArrays channel;
    Workspace workspace;
    Numbers numbers;
    ArrayShape shape;
    Partition partition;
    Choices choices;
};

static_assert(sizeof(void*) == 8, "addresses are u64 in src/gpu/arguments.rs");
static_assert(sizeof(Arguments) <= 4096, "more than every GPU takes as a kernel's parameters");
