// What the sanitizers must be told about stacks that are changed.
//
// ThreadSanitizer is told nothing: to it, all threads of a block are one. It sees what is missing between blocks; what is
// missing inside one shows by the random order of its threads.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef SIMT_ADDRESS_SANITIZER
#define SIMT_ADDRESS_SANITIZER 0
#endif

#if defined(__SANITIZE_THREAD__)
#define SIMT_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIMT_THREAD_SANITIZER 1
#endif
#endif
#ifndef SIMT_THREAD_SANITIZER
#define SIMT_THREAD_SANITIZER 0
#endif

#define SIMT_SANITIZED (SIMT_ADDRESS_SANITIZER || SIMT_THREAD_SANITIZER)

#if SIMT_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace simt {

struct StackBounds {
    const void* bottom = nullptr;
    std::size_t bytes = 0;
};

#if SIMT_ADDRESS_SANITIZER
inline void switch_begins(void** fake_stack, StackBounds to) {
    __sanitizer_start_switch_fiber(fake_stack, to.bottom, to.bytes);
}
inline void switch_ends(void* fake_stack, StackBounds* from) {
    __sanitizer_finish_switch_fiber(fake_stack, from ? &from->bottom : nullptr, from ? &from->bytes : nullptr);
}
inline void forget_poison(const void* memory, std::size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(memory, bytes); }
#else
inline void switch_begins(void**, StackBounds) {}
inline void switch_ends(void*, StackBounds*) {}
inline void forget_poison(const void*, std::size_t) {}
#endif

}  // namespace simt
