#include "cluster.h"

#include "launch.h"
#include "place.h"

namespace simt {

u32 Cluster::arrive(Launch& launch, u32 rank, Place place) {
    u32 turn = turn_.load(std::memory_order_relaxed);
    places_[rank] = place;
    // What each block wrote before is seen by the last to come, and through it by all.
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == launch.shape.cluster) {
        for (u32 other = 0; other < launch.shape.cluster; ++other) {
            if (same(places_[other], place)) continue;
            launch.fail("the blocks of a cluster wait in different places: rank " + std::to_string(rank) + " " +
                        described(place) + ", rank " + std::to_string(other) + " " + described(places_[other]));
        }
        arrived_.store(0, std::memory_order_relaxed);
        turn_.store(turn + 1, std::memory_order_release);
        launch.progress();
    }
    return turn;
}

}  // namespace simt
