#include "shared_memory.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "sanitizers.h"

namespace simt {

namespace {

// Behind an array, to see what is written there; AddressSanitizer sees it better.
constexpr std::size_t guard_bytes = SIMT_ADDRESS_SANITIZER ? 0 : 64;

}  // namespace

u32 number_array() {
    static std::atomic<u32> next{1};
    return next++;
}

SharedArray::~SharedArray() { std::free(memory_); }

void SharedArray::begin(std::size_t bytes) {
    // AddressSanitizer then sees also what still uses the array of the block before.
    if (SIMT_ADDRESS_SANITIZER || !memory_ || bytes != bytes_) {
        std::free(memory_);
        memory_ = nullptr;
        bytes_ = 0;
        void* memory = nullptr;
        if (posix_memalign(&memory, 16, bytes + guard_bytes) != 0) throw std::bad_alloc();
        memory_ = static_cast<char*>(memory);
        bytes_ = bytes;
    }
    std::memset(memory_, 0xff, bytes + guard_bytes);
    in_use_ = true;
}

bool SharedArray::end() {
    const char* guard = memory_ + bytes_;
    bool intact = std::all_of(guard, guard + guard_bytes, [](char byte) { return byte == static_cast<char>(0xff); });
    std::memset(memory_, 0xff, bytes_);
    in_use_ = false;
    return intact;
}

bool SharedArray::holds(const void* address) const {
    const char* there = static_cast<const char*>(address);
    return in_use_ && memory_ <= there && there <= memory_ + bytes_;
}

void SharedMemory::begin(std::size_t dynamic_bytes, std::size_t limit) {
    used_.assign(1, 0);
    bytes_ = dynamic_bytes;
    limit_ = limit;
    arrays_[0].begin(dynamic_bytes);
}

bool SharedMemory::end() {
    bool intact = true;
    for (u32 number : used_) intact &= arrays_[number].end();
    return intact;
}

void* SharedMemory::named(u32 number, std::size_t bytes) {
    SharedArray& array = arrays_.at(number);
    if (!array.in_use()) {
        if (bytes_ + bytes > limit_) return nullptr;
        bytes_ += bytes;
        array.begin(bytes);
        used_.push_back(number);
    }
    return array.memory();
}

const void* SharedMemory::same_place(const void* address, const SharedMemory& other) const {
    for (u32 number : other.used_) {
        const SharedArray& array = other.arrays_[number];
        if (array.holds(address) && arrays_[number].in_use())
            return arrays_[number].memory() + (static_cast<const char*>(address) - array.memory());
    }
    return nullptr;
}

}  // namespace simt
