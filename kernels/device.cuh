// What the kernels need beside CUDA's own words: short names of types, the macros that name a kernel and its shared
// memory, and inline assembly for what CUDA has no word for.
//
// The SIMT host (simt/simt.h) gives these, and those words of CUDA that the kernels use, the same meaning on a processor,
// so that the same kernels can be run where there is no GPU. Kernels include nothing else and use no CUDA header.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#include "arguments.cuh"

// A constant as a type, of which a function makes another for each.
template <bool VALUE>
struct Constant {
    static constexpr bool value = VALUE;
};

// The mask of a shuffle that all 32 lanes take part in: the only one there is here.
static constexpr u32 FULL_WARP = 0xffffffffu;
// Between two looks at a flag.
static constexpr u32 POLL_NANOSECONDS = 40;

#ifdef __CUDACC__

// Begins the definition of a kernel, named operation_type, for at most so many threads, so many blocks of which fit a
// multiprocessor. Its body knows the arguments as `a`.
#define KERNEL(operation, type, threads, blocks_per_multiprocessor)                         \
    extern "C" __global__ void __launch_bounds__(threads, blocks_per_multiprocessor) operation##_##type( \
        const __grid_constant__ Arguments a)
#define DEVICE __device__ __forceinline__
// A function that is not inlined.
#define APART __device__ __noinline__
// A named array in the block's shared memory: a macro because the host must find it in the block that runs.
#define SHARED(type, name, count) __shared__ type name[count]
// The launch's dynamic shared memory, 16-byte aligned.
#define DYNAMIC_SHARED(name) extern __shared__ uint4 name[]
// A place where the tests of the SIMT host can put a mistake, to see that the other tests find it: the number is its
// name, and both are expressions.
#define INJECT_FAULT(number, correct, faulty) (correct)

#if __CUDA_ARCH__ >= 900
// As cooperative groups have it: num_blocks, block_rank and sync of this_cluster().
DEVICE u32 cluster_num_blocks() {
    u32 blocks;
    asm("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(blocks));
    return blocks;
}
DEVICE u32 cluster_block_rank() {
    u32 rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
// All threads of all blocks of the cluster meet here; what each wrote to its shared memory before is seen after.
DEVICE void cluster_sync() {
    asm volatile("barrier.cluster.arrive.release;\n\tbarrier.cluster.wait.acquire;" ::: "memory");
}
// The same in two halves that order no memory, and so wait for none: no thread passes the second before all have passed
// the first. Between the two, a block does what the others need not wait for.
DEVICE void cluster_arrive_relaxed() { asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory"); }
DEVICE void cluster_wait() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }
// What is in the same place in the shared memory of another block of the cluster.
DEVICE double load_shared_rank(const double& shared, u32 rank) {
    const u32 here = static_cast<u32>(__cvta_generic_to_shared(&shared));
    u32 there;
    double value;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(rank));
    asm volatile("ld.shared::cluster.f64 %0, [%1];" : "=d"(value) : "r"(there) : "memory");
    return value;
}
#else
DEVICE u32 cluster_num_blocks() { return 1; }
DEVICE u32 cluster_block_rank() { return 0; }
DEVICE void cluster_sync() { __syncthreads(); }
DEVICE void cluster_arrive_relaxed() {}
DEVICE void cluster_wait() {}
DEVICE double load_shared_rank(const double& shared, u32) { return shared; }
#endif

// Adds to a counter that blocks share and returns what it was; what this thread has seen before is seen by whoever
// counts later. CUDA's atomicAdd orders nothing, and takes two fences for it.
DEVICE u32 atomic_add_acq_rel(u32* counter, u32 amount) {
    u32 before;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;"
                 : "=r"(before)
                 : "l"(counter), "r"(amount)
                 : "memory");
    return before;
}
// The same without any order: for a number that tells of no other memory.
DEVICE u32 atomic_add_relaxed(u32* counter, u32 amount) {
    u32 before;
    asm volatile("atom.relaxed.gpu.global.add.u32 %0, [%1], %2;" : "=r"(before) : "l"(counter), "r"(amount));
    return before;
}
// Reads a flag; what its writer had seen before is seen after.
DEVICE u32 load_acquire(const u32* flag) {
    u32 value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
    return value;
}
DEVICE void store_release(u32* flag, u32 value) {
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}

// Has global memory on its way to the second-level cache, and waits for nothing.
DEVICE void prefetch(const void* from) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(from)));
}
// 16 bytes of global memory, by the instructions for that: CUDA's own functions take addresses of any memory. Once: the
// caches need not keep them.
DEVICE uint4 load_16(const uint4* from) {
    uint4 value;
    asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "l"(__cvta_generic_to_global(from)));
    return value;
}
DEVICE uint4 load_16_once(const uint4* from) {
    uint4 value;
    asm volatile("ld.global.cs.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "l"(__cvta_generic_to_global(from)));
    return value;
}
DEVICE void store_16_once(uint4* to, uint4 value) {
    asm volatile("st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(value.x),
                 "r"(value.y), "r"(value.z), "r"(value.w)
                 : "memory");
}

// Copies of 16 bytes from global to shared memory that a thread has on their way, in groups. What the thread has waited for is
// there for itself, and for others behind a barrier. Once: the second-level cache need not keep what is read.
struct CopiesInFlight {
#if __CUDA_ARCH__ >= 800
    DEVICE void begin(uint4* to, const uint4* from) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)),
                     "l"(__cvta_generic_to_global(from))
                     : "memory");
    }
    DEVICE void begin_once(uint4* to, const uint4* from) {
        u64 policy;
        asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
        asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                     "l"(__cvta_generic_to_global(from)), "l"(policy)
                     : "memory");
    }
    DEVICE void end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
    // One or two of them.
    DEVICE void wait_for_all_groups_but_the_last(u32 groups) {
        if (groups == 1)
            asm volatile("cp.async.wait_group 1;" ::: "memory");
        else
            asm volatile("cp.async.wait_group 2;" ::: "memory");
    }
    DEVICE static u32 shared_address(const uint4* shared) { return static_cast<u32>(__cvta_generic_to_shared(shared)); }
#else
    // Turing has no such copies: they are made at once.
    DEVICE void begin(uint4* to, const uint4* from) { *to = load_16(from); }
    DEVICE void begin_once(uint4* to, const uint4* from) { *to = load_16_once(from); }
    DEVICE void end_group() {}
    DEVICE void wait_for_all_groups_but_the_last(u32) {}
#endif
};

// IEEE half precision.
DEVICE float half_to_float(u16 bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
// Two at a time, the first into the lower half of the word; each to nearest even, NaN to NaN.
DEVICE u32 floats_to_halves(float low, float high) {
    u32 word;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
#else
    asm("{\n\t.reg .f16 low, high;\n\tcvt.rn.f16.f32 low, %1;\n\tcvt.rn.f16.f32 high, %2;\n\tmov.b32 %0, {low, high};\n\t}"
        : "=r"(word)
        : "f"(low), "f"(high));
#endif
    return word;
}
// The same to bfloat16.
#if __CUDA_ARCH__ >= 800
DEVICE u32 floats_to_bfloats(float low, float high) {
    u32 word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}
#else
DEVICE u32 float_to_bfloat(float value) {
    const u32 bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return bits >> 16 | 0x40;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
DEVICE u32 floats_to_bfloats(float low, float high) { return float_to_bfloat(low) | float_to_bfloat(high) << 16; }
#endif

#else
#include "simt/simt.h"
#endif
