// The host, for src/host.rs: the same structs and functions there.
#pragma once

#include <cstddef>

#include "interface.h"

extern "C" {

struct SimtLaunch {
    const char* kernel;
    u64 seed;
    u32 blocks, threads, cluster, shared_bytes;
    // What a block may have of shared memory, named arrays included.
    u32 shared_limit;
    // Blocks that run at the same time, in whole clusters.
    u32 resident;
    u32 fault;
};

struct SimtKernel {
    const char* name;
    u32 threads, blocks_per_multiprocessor;
};

struct SimtFault {
    const char *file, *correct, *faulty;
    u32 number, line;
};

// Runs a kernel to its end. False, with the reason as a string: it failed.
bool simt_launch(const SimtLaunch* launch, const Arguments* arguments, char* reason, std::size_t capacity);
// The kernels and the faults of this build, in any order. False: there are no more.
bool simt_kernel(std::size_t index, SimtKernel* kernel);
bool simt_fault(std::size_t index, SimtFault* fault);
// The size of Arguments, then where in it each field is. Returns how many numbers there are.
std::size_t simt_layout(std::size_t* numbers, std::size_t capacity);
// Memory for arrays: aligned as the device's is, and as long as asked for. Null: there is none.
void* simt_allocate(std::size_t bytes);
void simt_free(void* memory);
// Makes memory NaN, as if no launch had written it.
void simt_forget(void* memory, std::size_t bytes);
// Which sanitizer this was compiled with, for tests of what only they see.
bool simt_address_sanitizer();
bool simt_thread_sanitizer();

}
