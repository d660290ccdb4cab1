#include "host.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>

#include "arrays.h"
#include "sanitizers.h"
#include "workers.h"

namespace simt {

const Kernel* Kernel::all;
const Fault* Fault::all;
u32 Fault::injected;

namespace {

// One launch at a time, as in a stream. ThreadSanitizer does not see how other languages' threads wait for each other: that
// memory is had before a launch uses it, and filled or given back after, shows by this lock too.
std::mutex order;

std::string run(const SimtLaunch& wanted, const Arguments& arguments) {
    const Kernel* kernel = Kernel::all;
    while (kernel && std::strcmp(kernel->name, wanted.kernel) != 0) kernel = kernel->next;
    if (!kernel) return "there is no such kernel";
    SimtLaunch shape = wanted;
    u32 clusters = std::max(1u, std::min(shape.resident, shape.blocks) / shape.cluster);
    shape.resident = clusters * shape.cluster;
    Launch launch(*kernel, arguments, shape);
    Fault::injected = shape.fault;
    run_on_workers(launch);
    return launch.failed() ? launch.error() : "";
}

template <class Listed>
const Listed* nth(std::size_t index) {
    const Listed* listed = Listed::all;
    for (; listed && index > 0; --index) listed = listed->next;
    return listed;
}

}  // namespace

}  // namespace simt

using namespace simt;

bool simt_launch(const SimtLaunch* launch, const Arguments* arguments, char* reason, std::size_t capacity) {
    std::string error;
    try {
        std::lock_guard<std::mutex> lock(order);
        error = run(*launch, *arguments);
    } catch (const std::exception& exception) {
        error = exception.what();
    }
    std::snprintf(reason, capacity, "%s", error.c_str());
    return error.empty();
}

bool simt_kernel(std::size_t index, SimtKernel* kernel) {
    const Kernel* found = nth<Kernel>(index);
    if (found) *kernel = {found->name, found->threads, found->blocks_per_multiprocessor};
    return found;
}

bool simt_fault(std::size_t index, SimtFault* fault) {
    const Fault* found = nth<Fault>(index);
    if (found) *fault = {found->place.file, found->correct, found->faulty, found->number, static_cast<u32>(found->place.line)};
    return found;
}

void* simt_allocate(std::size_t bytes) {
    void* memory = allocate_array(bytes);
#if SIMT_THREAD_SANITIZER
    std::lock_guard<std::mutex> lock(order);
#endif
    return memory;
}

void simt_forget(void* memory, std::size_t bytes) {
    std::lock_guard<std::mutex> lock(order);
    std::memset(memory, 0xff, bytes);
}

void simt_free(void* memory) {
#if SIMT_THREAD_SANITIZER
    std::lock_guard<std::mutex> lock(order);
#endif
    free_array(memory);
}

bool simt_address_sanitizer() { return SIMT_ADDRESS_SANITIZER; }
bool simt_thread_sanitizer() { return SIMT_THREAD_SANITIZER; }
