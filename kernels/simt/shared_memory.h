// The shared memory of a block.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "interface.h"

namespace simt {

// One array, exactly as long as asked for.
class SharedArray {
   public:
    ~SharedArray();
    // Makes the array of this block: every byte 0xff, which is NaN in all floating point types.
    void begin(std::size_t bytes);
    // What other blocks of the cluster still read of it is NaN. False: something was written past its end.
    bool end();
    bool in_use() const { return in_use_; }
    bool holds(const void* address) const;
    char* memory() const { return memory_; }

   private:
    char* memory_ = nullptr;
    std::size_t bytes_ = 0;
    bool in_use_ = false;
};

// All of a block: the dynamic array, and the named ones as its threads reach them.
class SharedMemory {
   public:
    void begin(std::size_t dynamic_bytes, std::size_t limit);
    bool end();
    void* dynamic() const { return arrays_[0].memory(); }
    // Null where that makes it more than the limit.
    void* named(u32 number, std::size_t bytes);
    std::size_t bytes() const { return bytes_; }
    // The address here of what has another in the memory of `other`. Null where it has none, or this block has ended.
    const void* same_place(const void* address, const SharedMemory& other) const;

   private:
    // Of the arrays that all kernels of the program name; the first is the dynamic one.
    std::array<SharedArray, 1024> arrays_;
    std::vector<u32> used_;
    std::size_t bytes_ = 0;
    std::size_t limit_ = 0;
};

}  // namespace simt
