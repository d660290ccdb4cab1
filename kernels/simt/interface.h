// What the kernels' side (simt.h) asks of the host that runs them. No system header is included: <unistd.h> has another
// `pause`.
#pragma once

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
struct Arguments;

namespace simt {

// A line of a kernel.
struct Place {
    const char* file;
    int line;
};

// Where the running thread is in the grid. A host thread runs one block at a time, and its threads in turn.
struct Index {
    u32 x;
};
struct Here {
    Index thread, threads, block, blocks;
    u32 cluster_rank, cluster_blocks;
};
extern __thread Here here;

// The running thread waits for its block, its cluster, its warp, or for something that another block will write.
void block_barrier(Place place);
void cluster_barrier(Place place);
double shuffle_down(double value, u32 offset, Place place);
void pause(Place place);
// Something that others may wait for has been written.
void progressed();
// Ends the launch with an error.
[[noreturn]] void refuse(const char* why, Place place);

// A number for a named array of shared memory, the same in all blocks.
u32 number_array();
void* shared_array(u32 number, u64 bytes, const char* name);
void* dynamic_shared();
// The same place in the memory of another block of the cluster.
const void* in_cluster(const void* shared, u32 rank);

// A kernel, listed by being constructed.
struct Kernel {
    const char* name;
    void (*body)(const Arguments&);
    u32 threads;
    u32 blocks_per_multiprocessor;
    const Kernel* next;

    static const Kernel* all;
    Kernel(const char* name, void (*body)(const Arguments&), u32 threads, u32 blocks_per_multiprocessor)
        : name(name), body(body), threads(threads), blocks_per_multiprocessor(blocks_per_multiprocessor), next(all) {
        all = this;
    }
};

// A mistake that can be put into a kernel to see that a test finds it, listed by being constructed.
struct Fault {
    u32 number;
    Place place;
    const char* correct;
    const char* faulty;
    const Fault* next;

    static const Fault* all;
    // The one that is in the launch that runs; 0 is none.
    static u32 injected;
    Fault(u32 number, Place place, const char* correct, const char* faulty)
        : number(number), place(place), correct(correct), faulty(faulty), next(all) {
        all = this;
    }
};

// The fault that `Described` describes: its static member is constructed before the program starts, so that the list
// has also the faults whose place no launch has reached.
template <class Described>
struct Injected {
    static const Fault fault;
    static bool now() { return Fault::injected == fault.number; }
};
template <class Described>
const Fault Injected<Described>::fault = Described::fault();

}  // namespace simt
