// One launch while it runs, as its blocks see it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "cluster.h"
#include "host.h"

namespace simt {

class Launch {
   public:
    Launch(const Kernel& kernel, const Arguments& arguments, const SimtLaunch& shape);

    const Kernel& kernel;
    const Arguments& arguments;
    const SimtLaunch shape;
    // Clusters, in the order in which they run.
    std::vector<u32> order;
    std::atomic<u32> next{0};
    // Those that run at the same time.
    std::vector<Cluster> resident;

    // Stops the launch; the first reason counts.
    void fail(const std::string& why);
    bool failed() const { return failed_.load(std::memory_order_relaxed); }
    std::string error();

    // Whatever a waiting block can wait for counts here: memory that was written, a block that has begun or ended. Relaxed,
    // so that ThreadSanitizer takes it for no order between blocks.
    void progress() { events_.fetch_add(1, std::memory_order_relaxed); }
    u64 events() const { return events_.load(std::memory_order_relaxed); }

    // A worker has seen all its threads wait since this many events. `at_work` and `done` are no such number.
    static constexpr u64 at_work = ~0ull, done = ~1ull;
    void waits_since(u32 worker, u64 events) { waiting_[worker].store(events, std::memory_order_relaxed); }
    // Whether nothing can happen any more.
    bool all_wait() const;

    // For the launching thread, which waits for all workers.
    void worker_done();
    void wait_for_workers();

   private:
    std::atomic<bool> failed_{false};
    std::atomic<u64> events_{0};
    std::vector<std::atomic<u64>> waiting_;
    std::mutex mutex_;
    std::condition_variable all_done_;
    u32 running_;
    std::string error_;
};

}  // namespace simt
