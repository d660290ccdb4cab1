// Step 2: the running statistics follow a batch.
//
//     running = (1 − factor)·running + factor·batch
//
// in f64, rounded once; the batch's variance is multiplied by `correction`, M/(M − 1) for the unbiased estimate.
#pragma once
#include "element.cuh"

template <class Compute>
DEVICE void follow(void* running, i64 channel, double factor, double batch) {
    const double before = static_cast<double>(channel_value<Compute>(running, channel));
    set_channel_value(running, channel, static_cast<Compute>((1.0 - factor) * before + factor * batch));
}

template <class Compute>
DEVICE void follow_running(const Arguments& a, i64 channel, Compute mean, Compute mean_low, Compute variance) {
    if (a.running_mean == nullptr) return;
    follow<Compute>(a.running_mean, channel, a.factor, static_cast<double>(mean) + static_cast<double>(mean_low));
    follow<Compute>(a.running_variance, channel, a.factor, static_cast<double>(variance) * a.correction);
}
