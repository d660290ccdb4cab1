// Where the fields of Arguments are, for a test that src/gpu/arguments.rs has them in the same places.
#include "../device.cuh"
#include "host.h"

#define FIELD(name) offsetof(Arguments, name)

std::size_t simt_layout(std::size_t* numbers, std::size_t capacity) {
    static const std::size_t layout[] = {
        sizeof(Arguments),
        FIELD(arrays.x), FIELD(arrays.dy), FIELD(arrays.out), FIELD(arrays.residual), FIELD(arrays.dresidual),
        FIELD(arrays.mask), FIELD(arrays.preactivation),
        FIELD(channel.gamma), FIELD(channel.beta), FIELD(channel.mean), FIELD(channel.mean_low),
        FIELD(channel.variance), FIELD(channel.inv_std), FIELD(channel.running_mean), FIELD(channel.running_variance),
        FIELD(channel.dgamma), FIELD(channel.dbeta),
        FIELD(workspace.counters), FIELD(workspace.partials),
        FIELD(numbers.epsilon), FIELD(numbers.running_weight), FIELD(numbers.variance_correction),
        FIELD(numbers.count), FIELD(numbers.parameter),
        FIELD(shape.batch), FIELD(shape.channels), FIELD(shape.spatial), FIELD(shape.packets),
        FIELD(shape.neighbours),
        FIELD(partition.tile), FIELD(partition.tiles), FIELD(partition.group_channels), FIELD(partition.kept_rows),
        FIELD(partition.places),
        FIELD(choices.activation), FIELD(choices.saved), FIELD(choices.batch_statistics), FIELD(choices.reverse),
        FIELD(choices.aligned), FIELD(choices.only_finite),
    };
    std::size_t known = sizeof(layout) / sizeof(layout[0]);
    for (std::size_t i = 0; i < known && i < capacity; ++i) numbers[i] = layout[i];
    return known;
}
