#include "arrays.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sanitizers.h"

namespace simt {

static constexpr std::size_t alignment = 256;

#if SIMT_ADDRESS_SANITIZER

void* allocate_array(std::size_t bytes) {
    void* memory = nullptr;
    return posix_memalign(&memory, alignment, bytes) == 0 ? memory : nullptr;
}

void free_array(void* array) { std::free(array); }

#else

namespace {

// Before an array and behind it. Before the first guard is the array's length.
constexpr std::size_t guard_bytes = alignment - sizeof(std::size_t);

bool intact(const char* guard) {
    return std::all_of(guard, guard + guard_bytes, [](char byte) { return byte == static_cast<char>(0xff); });
}

}  // namespace

void* allocate_array(std::size_t bytes) {
    void* memory = nullptr;
    if (bytes > SIZE_MAX - 2 * alignment) return nullptr;
    if (posix_memalign(&memory, alignment, alignment + bytes + guard_bytes) != 0) return nullptr;
    char* array = static_cast<char*>(memory) + alignment;
    std::memcpy(memory, &bytes, sizeof(bytes));
    std::memset(array - guard_bytes, 0xff, guard_bytes);
    std::memset(array + bytes, 0xff, guard_bytes);
    return array;
}

void free_array(void* array) {
    char* begin = static_cast<char*>(array);
    std::size_t bytes;
    std::memcpy(&bytes, begin - alignment, sizeof(bytes));
    if (!intact(begin - guard_bytes) || !intact(begin + bytes)) {
        std::fprintf(stderr, "a kernel has written beside an array of %zu bytes\n", bytes);
        std::abort();
    }
    std::free(begin - alignment);
}

#endif

}  // namespace simt
