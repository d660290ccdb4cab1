// The blocks that run together as a cluster, each on its own host thread.
#pragma once

#include <array>
#include <atomic>

#include "interface.h"

namespace simt {

class Block;
class Launch;

class Cluster {
   public:
    static constexpr u32 most_blocks = 16;

    // Names the block that has this rank now.
    void join(u32 rank, Block& block) { blocks_[rank] = &block; }
    Block& block(u32 rank) const { return *blocks_[rank]; }

    // All threads of a block are at this place. Fails the launch if other blocks come from elsewhere. Returns the turn to
    // be waited for.
    u32 arrive(Launch& launch, u32 rank, Place place);
    bool passed(u32 turn) const { return turn_.load(std::memory_order_acquire) != turn; }

   private:
    std::array<Block*, most_blocks> blocks_{};
    std::array<Place, most_blocks> places_{};
    std::atomic<u32> arrived_{0};
    std::atomic<u32> turn_{0};
};

}  // namespace simt
