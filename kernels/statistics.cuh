// Step 1: mean and variance of a channel from its sums about r, its first value.
//
//     mean     = r + Σ(x − r)/M
//     variance = (Σ(x − r)² − (Σ(x − r))²/M)/M
//
// in f64, where subtracting costs at most log2(M) of 53 bits. A thread takes its terms about its own first value k, in
// the compute type, and moves them to r in f64: Σ(x − r) = Σ(x − k) + n(k − r), and the square likewise.
#pragma once
#include "running.cuh"
#include "sums.cuh"

DEVICE bool is_finite(double value) { return value - value == 0.0; }

// A value to subtract, which must not make infinities of everything.
template <class Compute>
DEVICE Compute finite_or_zero(Compute value) {
    return value - value == static_cast<Compute>(0) ? value : static_cast<Compute>(0);
}

// r.
template <class T>
DEVICE double reference_of(const Arguments& a, i64 channel) {
    return finite_or_zero(static_cast<double>(value_at<T>(a.x, channel * a.spatial)));
}

// Adds one value to lane sums about k.
template <class T>
DEVICE void add_value(Accumulator<T>& accumulator, int lane, typename T::Compute x, typename T::Compute k) {
    const typename T::Compute difference = x - k;
    accumulator.first[lane] += difference;
    accumulator.second[lane] = fma(difference, difference, accumulator.second[lane]);
}

// Sums of `count` terms about k, moved to r.
DEVICE Sums rebase(Sums sums, double count, double k, double r) {
    const double by = INJECT_FAULT(5, k - r, 0.0);
    return Sums{sums.first + count * by, sums.second + by * (2.0 * sums.first + count * by)};
}

// Whether squares of f32 differences have overflowed, or vanished below what f32 can hold: then these terms are taken
// again in f64.
DEVICE bool overflowed(float first, float second) {
    return !(second < 1e37f) || (second < 1e-28f && (second != 0.0f || first != 0.0f));
}
DEVICE bool overflowed(double, double) { return false; }

// What a channel is normalized with.
template <class Compute>
struct Statistics {
    Compute mean;
    Compute mean_low;
    Compute inv_std;
};

// From a channel's sums about r: writes its statistics, and has the running ones follow. One thread of one block of the
// channel writes.
template <class T>
DEVICE Statistics<typename T::Compute> finalize_statistics(const Arguments& a, i64 channel, Sums sums, bool writes) {
    typedef typename T::Compute Compute;
    const double count = static_cast<double>(a.batch) * static_cast<double>(a.spatial);
    const double exact_mean = reference_of<T>(a, channel) + sums.first / count;
    double squares = sums.second - sums.first * (sums.first / count);
    // Not max(): NaN stays.
    if (squares < 0.0) squares = 0.0;
    const double exact_variance = squares / count;
    const Compute mean = static_cast<Compute>(exact_mean);
    const double low = exact_mean - static_cast<double>(mean);
    const Statistics<Compute> statistics{
        mean,
        is_finite(low) ? static_cast<Compute>(low) : static_cast<Compute>(0),
        static_cast<Compute>(1.0 / __dsqrt_rn(exact_variance + a.epsilon)),
    };
    if (writes) {
        const Compute variance = static_cast<Compute>(exact_variance);
        set_channel_value(a.mean, channel, statistics.mean);
        set_channel_value(a.mean_low, channel, statistics.mean_low);
        set_channel_value(a.variance, channel, variance);
        set_channel_value(a.inv_std, channel, statistics.inv_std);
        follow_running<Compute>(a, channel, statistics.mean, statistics.mean_low, variance);
    }
    return statistics;
}

// As they stand in memory.
template <class Compute>
DEVICE Statistics<Compute> known_statistics(const Arguments& a, i64 channel) {
    return Statistics<Compute>{
        channel_value<Compute>(a.mean, channel),
        channel_value<Compute>(a.mean_low, channel),
        channel_value<Compute>(a.inv_std, channel),
    };
}
