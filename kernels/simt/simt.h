// What device.cuh promises a kernel, on the processor.
#pragma once

#include "float16.h"
#include "interface.h"

#define DEVICE inline
#define KERNEL(operation, type, threads, blocks_per_multiprocessor)                                             \
    static void operation##_##type(const Arguments& a);                                                         \
    static const simt::Kernel operation##_##type##_kernel(#operation "_" #type, operation##_##type, threads,    \
                                                          blocks_per_multiprocessor);                           \
    static void operation##_##type([[maybe_unused]] const Arguments& a)

#define SHARED(type, name, count)                                                                               \
    type(&name)[count] = *static_cast<type(*)[count]>(simt::shared_array(                                       \
        [] {                                                                                                    \
            static const u32 number = simt::number_array();                                                     \
            return number;                                                                                      \
        }(),                                                                                                    \
        sizeof(type) * (count), #name))
#define DYNAMIC_SHARED(name) uint4* const name = static_cast<uint4*>(simt::dynamic_shared())

// A barrier is told from another by its line: a compiler may make several copies of one call.
#define SIMT_PLACE \
    simt::Place { __FILE__, __LINE__ }
#define BLOCK_BARRIER() simt::block_barrier(SIMT_PLACE)
#define CLUSTER_BARRIER() simt::cluster_barrier(SIMT_PLACE)

#define PLANT(number, correct, faulty)                                                                          \
    ([] {                                                                                                       \
        struct Described {                                                                                      \
            static simt::Fault fault() { return simt::Fault(number, SIMT_PLACE, #correct, #faulty); }           \
        };                                                                                                      \
        return simt::Planted<Described>::now();                                                                 \
    }()                                                                                                         \
         ? (faulty)                                                                                             \
         : (correct))

// Memory of any type is read through it.
struct alignas(16) [[gnu::may_alias]] uint4 {
    u32 x, y, z, w;
};

DEVICE u32 thread_index() { return simt::here.thread; }
DEVICE u32 block_threads() { return simt::here.threads; }
DEVICE u32 block_index() { return simt::here.block; }
DEVICE u32 grid_blocks() { return simt::here.blocks; }
DEVICE u32 cluster_blocks() { return simt::here.cluster_blocks; }
DEVICE u32 cluster_rank() { return simt::here.cluster_rank; }

DEVICE double shuffle_down(double value, u32 offset, int line = __builtin_LINE(),
                           const char* file = __builtin_FILE()) {
    return simt::shuffle_down(value, offset, {file, line});
}
template <class T>
DEVICE const T* in_cluster(const T* shared, u32 rank) {
    return static_cast<const T*>(simt::in_cluster(shared, rank));
}

DEVICE u32 count(u32* counter, u32 amount) {
    u32 before = __atomic_fetch_add(counter, amount, __ATOMIC_ACQ_REL);
    if (amount != 0) simt::progressed();
    return before;
}
DEVICE u32 load_acquire(const u32* flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
DEVICE void store_release(u32* flag, u32 value) {
    __atomic_store_n(flag, value, __ATOMIC_RELEASE);
    simt::progressed();
}
DEVICE void pause(int line = __builtin_LINE(), const char* file = __builtin_FILE()) { simt::pause({file, line}); }

namespace simt {
inline void check_16(const void* address, Place place) {
    if (reinterpret_cast<u64>(address) % 16 != 0) refuse("16 bytes at an address that is not 16-byte aligned", place);
}
}  // namespace simt

DEVICE uint4 load_16(const void* from, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    simt::check_16(from, {file, line});
    return *static_cast<const uint4*>(from);
}
DEVICE uint4 load_16_once(const void* from, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    return load_16(from, line, file);
}
DEVICE void store_16(void* to, uint4 value, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    simt::check_16(to, {file, line});
    *static_cast<uint4*>(to) = value;
}
DEVICE void store_16_once(void* to, uint4 value, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    store_16(to, value, line, file);
}

DEVICE float bits_to_float(u32 bits) { return simt::same_bits<float>(bits); }
DEVICE u32 float_to_bits(float value) { return simt::same_bits<u32>(value); }
DEVICE double bits_to_double(u64 bits) { return simt::same_bits<double>(bits); }
DEVICE u64 double_to_bits(double value) { return simt::same_bits<u64>(value); }

DEVICE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
DEVICE double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
DEVICE double square_root(double value) { return __builtin_sqrt(value); }

DEVICE float half_to_float(u16 bits) { return simt::half_to_float(bits); }
DEVICE u16 float_to_half(float value) { return simt::float_to_half(value); }
DEVICE u16 float_to_bfloat(float value) { return simt::float_to_bfloat(value); }
