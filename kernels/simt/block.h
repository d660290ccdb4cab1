// A block while it runs: its threads take turns in random order, and meet at barriers and in warps.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cluster.h"
#include "fiber.h"
#include "launch.h"
#include "random.h"
#include "shared_memory.h"

namespace simt {

class Block {
   public:
    SharedMemory shared;

    // Runs block `index` of a launch on this host thread, which is number `worker`. False: the launch has failed, and some
    // threads of the block will never end.
    bool run(Launch& launch, Cluster& cluster, u32 worker, u32 index);

    // What the running thread asks.
    static Block& running();
    void thread_main();
    void meet_block(Place place);
    void meet_cluster(Place place);
    double meet_warp(double value, u32 offset, Place place);
    void pause(Place place);
    void progress();
    [[noreturn]] void refuse(const std::string& why, Place place);
    const void* in_cluster(const void* address, u32 rank);

   private:
    enum class State { Ready, Pausing, InShuffle, AtBarrier, AtClusterBarrier, Ended, Refused };
    struct Thread {
        Fiber* fiber = nullptr;
        State state = State::Ready;
        Place place = {nullptr, 0};
        // What a shuffle is given, and gives.
        double value = 0, shuffled = 0;
        u32 offset = 0;
    };
    // Where threads wait for each other: a warp, or the whole block.
    struct Meeting {
        u32 arrived = 0, ended = 0;
        State state = State::Ready;
        Place place = {nullptr, 0};
    };

    void begin(u32 index);
    bool run_threads();
    bool run_thread(u32 number);
    bool next_round();
    bool still_waiting();
    bool meet_cluster_outside(Place place);
    void arrive(Meeting& meeting, State state, Place place);
    void leave();
    void release(u32 first, u32 end);
    void shuffle(u32 first);
    void thread_ended();
    std::string where_threads_are() const;

    Launch* launch_ = nullptr;
    Cluster* cluster_ = nullptr;
    u32 worker_ = 0;
    Fibers fibers_;
    Random random_{0};
    std::vector<Thread> threads_;
    std::vector<Meeting> warps_;
    Meeting all_;
    std::vector<u32> ready_;
    // Threads that look at a flag again when all others have had their turn.
    std::vector<u32> pausing_;
    bool at_cluster_barrier_ = false;
    u32 cluster_turn_ = 0;
    // How often, and since when and how many events, all threads have been found waiting.
    u32 rounds_ = 0;
    u64 events_ = 0;
    bool moved_ = false;
    std::chrono::steady_clock::time_point since_;
};

}  // namespace simt
