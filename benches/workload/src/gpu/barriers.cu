// What waiting costs: barriers of all blocks and of a cluster, one after the other. No part of the library.

#define KERNEL extern "C" __global__ void __launch_bounds__(512)

// As in the library: a block's first thread counts it, and waits until all are counted.
KERNEL grid_barriers(unsigned* arrived, unsigned times) {
    for (unsigned time = 1; time <= times; time++) {
        __syncthreads();
        if (threadIdx.x == 0) {
            const unsigned all = time * gridDim.x;
            unsigned now;
            asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
            do {
                asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(arrived) : "memory");
            } while (now < all);
        }
        __syncthreads();
    }
}

KERNEL cluster_barriers(unsigned times) {
    for (unsigned time = 0; time < times; time++) {
        asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
        asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
    }
}
