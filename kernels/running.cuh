// Step 2: the running statistics follow a batch.
//
//     running = (1 − weight)·running + weight·batch
//
// in f64, rounded once; the batch's variance is multiplied by `variance_correction`, M/(M − 1) for the unbiased estimate.
#pragma once
#include "element.cuh"

template <class Compute>
DEVICE void update_running_value(void* running, i64 channel, double weight, double batch) {
    const double before = static_cast<double>(channel_value<Compute>(running, channel));
    set_channel_value(running, channel, static_cast<Compute>((1.0 - weight) * before + weight * batch));
}

template <class Compute>
DEVICE void update_running(const Arguments& a, i64 channel, Compute mean, Compute mean_low, Compute variance) {
    if (a.channel.running_mean == nullptr) return;
    const double weight = a.numbers.running_weight;
    const double exact_mean = static_cast<double>(mean) + static_cast<double>(mean_low);
    const double unbiased = static_cast<double>(variance) * a.numbers.variance_correction;
    update_running_value<Compute>(a.channel.running_mean, channel, weight, exact_mean);
    update_running_value<Compute>(a.channel.running_variance, channel, weight, unbiased);
}
