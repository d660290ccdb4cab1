// What a kernel may ask of the device, in one place.
//
// nvcc gives each of these a few instructions; the SIMT host (simt/simt.h) gives each the same meaning on a processor, so
// that the same kernels can be run where there is no GPU. Kernels include nothing else and use no CUDA header.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#include "arguments.cuh"

#ifdef __CUDACC__

// Begins the definition of a kernel, named operation_type, for at most so many threads, so many blocks of which fit a
// multiprocessor. Its body knows the arguments as `a`.
#define KERNEL(operation, type, threads, blocks_per_multiprocessor)                         \
    extern "C" __global__ void __launch_bounds__(threads, blocks_per_multiprocessor) operation##_##type( \
        const __grid_constant__ Arguments a)
#define DEVICE __device__ __forceinline__
// A named array in the block's shared memory.
#define SHARED(type, name, count) __shared__ type name[count]
// The launch's dynamic shared memory, 16-byte aligned.
#define DYNAMIC_SHARED(name) extern __shared__ uint4 name[]
// All threads of the block meet here.
#define BLOCK_BARRIER() __syncthreads()
// All threads of all blocks of the cluster meet here; what each wrote to its shared memory before is seen after.
#define CLUSTER_BARRIER() cluster_barrier()
// A place where the tests of the SIMT host can plant a mistake, to see that the other tests find it: the number is its
// name, and both are expressions.
#define PLANT(number, correct, faulty) (correct)

DEVICE u32 thread_index() { return threadIdx.x; }
DEVICE u32 block_threads() { return blockDim.x; }
DEVICE u32 block_index() { return blockIdx.x; }
DEVICE u32 grid_blocks() { return gridDim.x; }

// The value of the lane `offset` above; all 32 lanes of the warp call it.
DEVICE double shuffle_down(double value, u32 offset) { return __shfl_down_sync(0xffffffffu, value, offset); }

#if __CUDA_ARCH__ >= 900
DEVICE u32 cluster_blocks() {
    u32 blocks;
    asm("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(blocks));
    return blocks;
}
DEVICE u32 cluster_rank() {
    u32 rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
DEVICE void cluster_barrier() {
    asm volatile("barrier.cluster.arrive.release;\n\tbarrier.cluster.wait.acquire;" ::: "memory");
}
// The same place in the shared memory of another block of the cluster.
template <class T>
DEVICE const T* in_cluster(const T* shared, u32 rank) {
    u64 there;
    asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(shared), "r"(rank));
    return reinterpret_cast<const T*>(there);
}
#else
DEVICE u32 cluster_blocks() { return 1; }
DEVICE u32 cluster_rank() { return 0; }
DEVICE void cluster_barrier() { __syncthreads(); }
template <class T>
DEVICE const T* in_cluster(const T* shared, u32) {
    return shared;
}
#endif

// Adds to a counter that blocks share and returns what it was; what this thread has seen before is seen by whoever
// counts later.
DEVICE u32 count(u32* counter, u32 amount) {
    u32 before;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;"
                 : "=r"(before)
                 : "l"(counter), "r"(amount)
                 : "memory");
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
// Between two looks at a flag.
DEVICE void pause() {
#if __CUDA_ARCH__ >= 700
    __nanosleep(40);
#endif
}

// 16 bytes of global memory, aligned. Those that are not needed again say so to the caches.
DEVICE uint4 load_16(const void* from) { return *static_cast<const uint4*>(from); }
DEVICE uint4 load_16_once(const void* from) { return __ldcs(static_cast<const uint4*>(from)); }
DEVICE void store_16(void* to, uint4 value) { *static_cast<uint4*>(to) = value; }
DEVICE void store_16_once(void* to, uint4 value) { __stcs(static_cast<uint4*>(to), value); }

DEVICE float bits_to_float(u32 bits) { return __uint_as_float(bits); }
DEVICE u32 float_to_bits(float value) { return __float_as_uint(value); }
DEVICE double bits_to_double(u64 bits) { return __longlong_as_double(static_cast<long long>(bits)); }
DEVICE u64 double_to_bits(double value) { return static_cast<u64>(__double_as_longlong(value)); }

// Rounded once.
DEVICE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
DEVICE double fused(double a, double b, double c) { return __fma_rn(a, b, c); }
DEVICE double square_root(double value) { return __dsqrt_rn(value); }

// IEEE half precision.
DEVICE float half_to_float(u16 bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
DEVICE u16 float_to_half(float value) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
// bfloat16, to nearest even, NaN to NaN.
DEVICE u16 float_to_bfloat(float value) {
#if __CUDA_ARCH__ >= 800
    u16 bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    u32 bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<u16>(bits >> 16 | 0x40);
    return static_cast<u16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#endif
}

#else
#include "simt/simt.h"
#endif
