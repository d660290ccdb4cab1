// Step 2: the running statistics follow a batch.
//
//     running = (1 − weight)·running + weight·batch
//
// in f64, rounded once, on request only where that is finite; the batch's variance is multiplied by `variance_correction`,
// M/(M − 1) for the unbiased estimate.
#pragma once
#include "factors.cuh"

template <class Compute>
DEVICE Compute followed(const void* running, i64 channel, double weight, double batch) {
    const double before = static_cast<double>(channel_value<Compute>(running, channel));
    return static_cast<Compute>((1.0 - weight) * before + weight * batch);
}

// One beyond the type is stored as infinity, though a part of it that is followed need not be beyond it: then it is what inv_std says,
// beside which ε is nothing.
template <class Compute>
DEVICE double wide_variance(Compute variance, Compute inv_std) {
    const double stored = static_cast<double>(variance), of_inv_std = static_cast<double>(inv_std);
    return stored > largest_of(Compute()) ? 1.0 / (of_inv_std * of_inv_std) : stored;
}

template <class Compute>
DEVICE void update_running(
    const Arguments& a, i64 channel, Compute mean, Compute mean_low, Compute variance, Compute inv_std) {
    if (a.channel.running_mean == nullptr) return;
    const double weight = a.numbers.running_weight;
    const double exact_mean = static_cast<double>(mean) + static_cast<double>(mean_low);
    const double unbiased = wide_variance(variance, inv_std) * a.numbers.variance_correction;
    const Compute new_mean = followed<Compute>(a.channel.running_mean, channel, weight, exact_mean);
    const Compute new_variance = followed<Compute>(a.channel.running_variance, channel, weight, unbiased);
    // A batch that is not finite makes none that are.
    const bool finite = is_finite(static_cast<double>(new_mean)) && is_finite(static_cast<double>(new_variance));
    if (a.choices.only_finite != 0 && !finite) return;
    set_channel_value(a.channel.running_mean, channel, new_mean);
    set_channel_value(a.channel.running_variance, channel, new_variance);
}
