// Step 2: the running statistics follow a batch.
//
//     running = (1 − weight)·running + weight·batch
//
// in f64, rounded once, on request only where that is finite; the batch's variance is multiplied by `variance_correction`,
// M/(M − 1) for the unbiased estimate.
#pragma once
#include "element.cuh"

template <class Compute>
DEVICE Compute followed(const void* running, i64 channel, double weight, double batch) {
    const double before = static_cast<double>(channel_value<Compute>(running, channel));
    return static_cast<Compute>((1.0 - weight) * before + weight * batch);
}

template <class Compute>
DEVICE void update_running(const Arguments& a, i64 channel, Compute mean, Compute mean_low, Compute variance) {
    if (a.channel.running_mean == nullptr) return;
    const double weight = a.numbers.running_weight;
    const double exact_mean = static_cast<double>(mean) + static_cast<double>(mean_low);
    const double unbiased = static_cast<double>(variance) * a.numbers.variance_correction;
    const Compute new_mean = followed<Compute>(a.channel.running_mean, channel, weight, exact_mean);
    const Compute new_variance = followed<Compute>(a.channel.running_variance, channel, weight, unbiased);
    // A batch that is not finite makes none that are.
    const bool finite = is_finite(static_cast<double>(new_mean)) && is_finite(static_cast<double>(new_variance));
    if (a.choices.only_finite != 0 && !finite) return;
    set_channel_value(a.channel.running_mean, channel, new_mean);
    set_channel_value(a.channel.running_variance, channel, new_variance);
}
