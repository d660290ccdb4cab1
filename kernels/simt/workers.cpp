#include "workers.h"

#include <algorithm>
#include <memory>
#include <thread>

#include "block.h"

namespace simt {

namespace {

// A host thread, kept for the launches to come.
class Worker {
   public:
    static std::shared_ptr<Worker> begin() {
        auto worker = std::make_shared<Worker>();
        // Never joined: it waits for work until the program ends.
        std::thread([worker] { worker->work(); }).detach();
        return worker;
    }

    void give(Launch& launch, u32 number) {
        std::lock_guard<std::mutex> lock(mutex_);
        number_ = number;
        launch_ = &launch;
        given_.notify_one();
    }

    // Threads of its block will never end: its stacks are not to be used again.
    bool lost() const { return lost_; }

   private:
    void work() {
        Block block;
        while (!lost_) {
            Launch& launch = wait_for_launch();
            lost_ = !run_blocks(launch, block);
            launch.worker_done();
        }
    }

    Launch& wait_for_launch() {
        std::unique_lock<std::mutex> lock(mutex_);
        given_.wait(lock, [this] { return launch_ != nullptr; });
        Launch& launch = *launch_;
        launch_ = nullptr;
        return launch;
    }

    bool run_blocks(Launch& launch, Block& block) {
        try {
            u32 blocks = launch.shape.cluster;
            u32 group = number_ / blocks;
            // The blocks of a cluster must agree on which is next; others take the next that nobody has.
            for (u32 turn = group;; turn += static_cast<u32>(launch.resident.size())) {
                if (blocks == 1) turn = launch.next.fetch_add(1, std::memory_order_relaxed);
                if (turn >= launch.order.size() || launch.failed()) break;
                u32 index = launch.order[turn] * blocks + number_ % blocks;
                if (!block.run(launch, launch.resident[group], number_, index)) return false;
            }
            launch.waits_since(number_, Launch::done);
            return true;
        } catch (const std::exception& exception) {
            launch.fail(exception.what());
            return false;
        }
    }

    std::mutex mutex_;
    std::condition_variable given_;
    Launch* launch_ = nullptr;
    u32 number_ = 0;
    bool lost_ = false;
};

}  // namespace

void run_on_workers(Launch& launch) {
    // Never freed: its threads outlive every static object.
    static auto& workers = *new std::vector<std::shared_ptr<Worker>>;
    u32 needed = launch.shape.resident;
    while (workers.size() < needed) workers.push_back(Worker::begin());
    for (u32 number = 0; number < needed; ++number) workers[number]->give(launch, number);
    launch.wait_for_workers();
    workers.erase(std::remove_if(workers.begin(), workers.end(), [](const auto& worker) { return worker->lost(); }),
                  workers.end());
}

}  // namespace simt
