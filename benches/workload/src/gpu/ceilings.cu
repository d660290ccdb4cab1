// What the hardware can do at best: reads, writes and copies of memory with 16 bytes a thread at a time, and a kernel that
// does nothing; and a count of values that nobody wrote. No part of the library.

#define KERNEL extern "C" __global__ void __launch_bounds__(512)

// Every block takes a contiguous run of steps; each thread has four packets in flight, as the library's kernels do.
#define FOR_PACKETS(first, packets)                                                    \
    for (unsigned long long first = blockIdx.x * 2048ull + threadIdx.x; first < packets; \
         first += gridDim.x * 2048ull)

KERNEL empty() {}

// The sum is written only if it is what nobody expects, so that the reads are needed but nothing is stored.
KERNEL read_packets(const uint4* from, uint4* never, unsigned long long packets) {
    uint4 sum = {0, 0, 0, 0};
    FOR_PACKETS(first, packets) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const unsigned long long at = first + i * 512;
            if (at < packets) {
                const uint4 value = from[at];
                sum.x ^= value.x;
                sum.y ^= value.y;
                sum.z ^= value.z;
                sum.w ^= value.w;
            }
        }
    }
    if (sum.x == 0x9e3779b9 && sum.y == 0x7f4a7c15 && sum.z == 0xbf58476d && sum.w == 0x1ce4e5b9) *never = sum;
}

KERNEL write_packets(uint4* to, unsigned long long packets) {
    FOR_PACKETS(first, packets) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const unsigned at = first + i * 512;
            if (first + i * 512 < packets) __stcs(to + first + i * 512, make_uint4(at, at, at, at));
        }
    }
}

KERNEL copy_packets(const uint4* from, uint4* to, unsigned long long packets) {
    FOR_PACKETS(first, packets) {
        uint4 values[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (first + i * 512 < packets) values[i] = __ldcs(from + first + i * 512);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (first + i * 512 < packets) __stcs(to + first + i * 512, values[i]);
        }
    }
}

// Adds to a counter how many words of an array are the one that is looked for.
KERNEL count_words(const unsigned* array, unsigned long long words, unsigned wanted, unsigned long long* counter) {
    unsigned long long found = 0;
    for (unsigned long long at = blockIdx.x * 512ull + threadIdx.x; at < words; at += gridDim.x * 512ull) {
        found += array[at] == wanted;
    }
    if (found) atomicAdd(counter, found);
}
