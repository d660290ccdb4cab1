// What one access and one clock take. No part of the library.

// One thread goes from line to line, each of which says where the next one is: past the first-level cache, so that it waits for
// the second or for memory.
extern "C" __global__ void follow_lines(const unsigned* next, unsigned start, unsigned steps, unsigned* end) {
    unsigned at = start;
    for (unsigned step = 0; step < steps; step++) at = __ldcg(next + at);
    *end = at;
}

extern "C" __global__ void wait_clocks(unsigned long long clocks) {
    const unsigned long long start = clock64();
    while (clock64() - start < clocks) {
    }
}
