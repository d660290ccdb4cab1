// Where the fields of Arguments are, for a test that src/gpu/arguments.rs has them in the same places.
#include "../device.cuh"
#include "host.h"

#define FIELD(name) offsetof(Arguments, name)

std::size_t simt_layout(std::size_t* numbers, std::size_t capacity) {
    static const std::size_t layout[] = {
        sizeof(Arguments),
        FIELD(x), FIELD(dy), FIELD(out), FIELD(residual), FIELD(dresidual), FIELD(mask),
        FIELD(gamma), FIELD(beta), FIELD(mean), FIELD(mean_low), FIELD(variance), FIELD(inv_std),
        FIELD(running_mean), FIELD(running_variance), FIELD(sum_gamma), FIELD(sum_beta),
        FIELD(counters), FIELD(partials),
        FIELD(epsilon), FIELD(factor), FIELD(correction), FIELD(count),
        FIELD(batch), FIELD(channels), FIELD(spatial), FIELD(packets), FIELD(tile),
        FIELD(tiles), FIELD(group_channels), FIELD(kept_rows),
        FIELD(epilogue), FIELD(gate), FIELD(of_batch), FIELD(reverse), FIELD(aligned),
    };
    std::size_t known = sizeof(layout) / sizeof(layout[0]);
    for (std::size_t i = 0; i < known && i < capacity; ++i) numbers[i] = layout[i];
    return known;
}
