// The words of CUDA that the kernels use, and what device.cuh promises beside them, on the processor.
#pragma once

#include "float16.h"
#include "interface.h"

#define DEVICE inline
#define APART inline
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

#define INJECT_FAULT(number, correct, faulty)                                                                   \
    ([] {                                                                                                       \
        struct Described {                                                                                      \
            static simt::Fault fault() { return simt::Fault(number, {__FILE__, __LINE__}, #correct, #faulty); } \
        };                                                                                                      \
        return simt::Injected<Described>::now();                                                                \
    }()                                                                                                         \
         ? (faulty)                                                                                             \
         : (correct))

// Memory of any type is read through it.
struct alignas(16) [[gnu::may_alias]] uint4 {
    u32 x, y, z, w;
};

#define threadIdx (simt::here.thread)
#define blockDim (simt::here.threads)
#define blockIdx (simt::here.block)
#define gridDim (simt::here.blocks)
DEVICE u32 cluster_num_blocks() { return simt::here.cluster_blocks; }
DEVICE u32 cluster_block_rank() { return simt::here.cluster_rank; }

// A barrier is told from another by its line: a compiler may make several copies of one call.
DEVICE void __syncthreads(int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    simt::block_barrier({file, line});
}
DEVICE void cluster_sync(int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    simt::cluster_barrier({file, line});
}
DEVICE double __shfl_down_sync(u32 mask, double value, u32 offset, int line = __builtin_LINE(),
                               const char* file = __builtin_FILE()) {
    if (mask != FULL_WARP) simt::refuse("shuffles with a mask that leaves lanes out", {file, line});
    return simt::shuffle_down(value, offset, {file, line});
}
// The order of memory is that of a whole barrier, which the second half is.
DEVICE void cluster_arrive_relaxed() {}
DEVICE void cluster_wait(int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    simt::cluster_barrier({file, line});
}
DEVICE double load_shared_rank(const double& shared, u32 rank) {
    return *static_cast<const double*>(simt::in_cluster(&shared, rank));
}

DEVICE u32 atomic_add_acq_rel(u32* counter, u32 amount) {
    u32 before = __atomic_fetch_add(counter, amount, __ATOMIC_ACQ_REL);
    if (amount != 0) simt::progressed();
    return before;
}
DEVICE u32 atomic_add_relaxed(u32* counter, u32 amount) {
    u32 before = __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
    if (amount != 0) simt::progressed();
    return before;
}
DEVICE u32 load_acquire(const u32* flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
DEVICE void store_release(u32* flag, u32 value) {
    __atomic_store_n(flag, value, __ATOMIC_RELEASE);
    simt::progressed();
}
DEVICE void __nanosleep(u32, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    simt::pause({file, line});
}
[[noreturn]] DEVICE void __trap(int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    simt::refuse("traps", {file, line});
}

namespace simt {
inline void check_16(const void* address, Place place) {
    if (reinterpret_cast<u64>(address) % 16 != 0) refuse("16 bytes at an address that is not 16-byte aligned", place);
}
}  // namespace simt

DEVICE void prefetch(const void*) {}
DEVICE uint4 load_16(const uint4* from, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    simt::check_16(from, {file, line});
    return *from;
}
DEVICE uint4 load_16_once(const uint4* from, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    return load_16(from, line, file);
}
DEVICE void store_16_once(uint4* to, uint4 value, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    simt::check_16(to, {file, line});
    *to = value;
}

// A copy is made as late as it may be, when its group is waited for; until then its place is NaN. So both who reads too early and
// who begins a copy to where packets are still read finds NaN, and who overwrites what is copied finds that.
class CopiesInFlight {
   public:
    void begin(uint4* to, const uint4* from, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
        simt::check_16(to, {file, line});
        simt::check_16(from, {file, line});
        if (count_ == MOST) simt::refuse("more copies on their way than the host has room for", {file, line});
        for (u32 i = 0; i < count_; i++)
            if (copies_[i].to == to) simt::refuse("two copies on their way to the same place", {file, line});
        *to = uint4{~0u, ~0u, ~0u, ~0u};
        copies_[count_++] = Copy{to, from};
    }
    void begin_once(uint4* to, const uint4* from, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
        begin(to, from, line, file);
    }
    void end_group() {
        for (u32 i = MOST_GROUPS - 1; i > 0; i--) ended_[i] = ended_[i - 1];
        ended_[0] = count_;
    }
    void wait_for_all_groups_but_the_last(u32 groups) {
        const u32 made = ended_[groups];
        for (u32 i = 0; i < made; i++) *copies_[i].to = *copies_[i].from;
        for (u32 i = made; i < count_; i++) copies_[i - made] = copies_[i];
        count_ -= made;
        for (u32& ended : ended_) ended = ended > made ? ended - made : 0;
    }

   private:
    struct Copy {
        uint4* to;
        const uint4* from;
    };
    // Of three tiles of the longest that the plan has, and of two arrays.
    static constexpr u32 MOST = 96;
    static constexpr u32 MOST_GROUPS = 3;
    Copy copies_[MOST];
    u32 count_ = 0;
    // Copies in all groups that have ended, in all of those but the last, and so on.
    u32 ended_[MOST_GROUPS] = {};
};

DEVICE float __uint_as_float(u32 bits) { return simt::same_bits<float>(bits); }
DEVICE u32 __float_as_uint(float value) { return simt::same_bits<u32>(value); }
DEVICE double __longlong_as_double(i64 bits) { return simt::same_bits<double>(bits); }
DEVICE i64 __double_as_longlong(double value) { return simt::same_bits<i64>(value); }

DEVICE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
DEVICE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
DEVICE double __dsqrt_rn(double value) { return __builtin_sqrt(value); }

DEVICE float half_to_float(u16 bits) { return simt::half_to_float(bits); }
DEVICE u32 floats_to_halves(float low, float high) {
    return simt::float_to_half(low) | static_cast<u32>(simt::float_to_half(high)) << 16;
}
DEVICE u32 floats_to_bfloats(float low, float high) {
    return simt::float_to_bfloat(low) | static_cast<u32>(simt::float_to_bfloat(high)) << 16;
}
