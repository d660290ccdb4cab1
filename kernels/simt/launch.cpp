#include "launch.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "random.h"

namespace simt {

Launch::Launch(const Kernel& kernel, const Arguments& arguments, const SimtLaunch& shape)
    : kernel(kernel),
      arguments(arguments),
      shape(shape),
      order(shape.blocks / shape.cluster),
      resident(shape.resident / shape.cluster),
      waiting_(shape.resident),
      running_(shape.resident) {
    std::iota(order.begin(), order.end(), 0);
    Random random(shape.seed);
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(static_cast<u32>(i))]);
    for (auto& since : waiting_) since.store(at_work, std::memory_order_relaxed);
}

void Launch::fail(const std::string& why) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!failed()) error_ = why;
    failed_.store(true, std::memory_order_relaxed);
}

std::string Launch::error() {
    std::lock_guard<std::mutex> lock(mutex_);
    return error_;
}

bool Launch::all_wait() const {
    u64 now = events();
    return std::all_of(waiting_.begin(), waiting_.end(), [now](const std::atomic<u64>& waiting) {
        u64 since = waiting.load(std::memory_order_relaxed);
        return since == now || since == done;
    });
}

void Launch::worker_done() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (--running_ == 0) all_done_.notify_one();
}

void Launch::wait_for_workers() {
    std::unique_lock<std::mutex> lock(mutex_);
    u64 events_before = events();
    // Only a wait without pause(), which no error can end, makes no progress for so long.
    while (!all_done_.wait_for(lock, std::chrono::minutes(5), [this] { return running_ == 0; })) {
        if (events() == events_before) {
            std::fprintf(stderr, "%s has made no progress for 5 minutes: does it wait without pause()?\n", kernel.name);
            std::abort();
        }
        events_before = events();
    }
}

}  // namespace simt
