// Random numbers for the order in which things run (splitmix64).
#pragma once

#include "interface.h"

namespace simt {

class Random {
   public:
    explicit Random(u64 seed) : state_(seed) {}

    u64 bits() {
        u64 z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    u32 below(u32 end) { return static_cast<u32>((bits() >> 32) * end >> 32); }

   private:
    u64 state_;
};

}  // namespace simt
