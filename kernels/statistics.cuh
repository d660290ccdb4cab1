// Step 1: mean and variance of a channel from its sums about a reference, its first value.
//
//     mean     = reference + Σ(x − reference)/M
//     variance = (Σ(x − reference)² − (Σ(x − reference))²/M)/M
//
// in f64, where subtracting costs at most log2(M) of 53 bits. A thread takes its terms about a pivot, its own first
// value, in the compute type, and rebases them to the reference in f64:
// Σ(x − reference) = Σ(x − pivot) + n(pivot − reference), and the square likewise.
#pragma once
#include "factors.cuh"
#include "running.cuh"
#include "sums.cuh"

// A value to subtract, which must not make infinities of everything.
template <class Compute>
DEVICE Compute finite_or_zero(Compute value) {
    return value - value == static_cast<Compute>(0) ? value : static_cast<Compute>(0);
}

// A channel's first value as it lies in memory, and the reference that it is.
template <class T>
DEVICE typename T::Bits first_bits_of(const Arguments& a, i64 channel) {
    return static_cast<const typename T::Bits*>(a.arrays.x)[channel * a.shape.neighbours];
}
template <class T>
DEVICE double reference_from(typename T::Bits first) {
    return finite_or_zero(static_cast<double>(T::decode(first)));
}
template <class T>
DEVICE double reference_of(const Arguments& a, i64 channel) {
    return reference_from<T>(first_bits_of<T>(a, channel));
}

// Whether a channel has so few values that they are added in f64: what rounding x − pivot costs the mean averages out over
// many. dγ shows it where dv is zero but for a value near the mean. src/cpu/kernels/few_values.rs has the same number.
static constexpr i64 FEW = 32;
template <class T>
DEVICE bool are_few(const Arguments& a) {
    return sizeof(typename T::Compute) < sizeof(double) && a.shape.batch * a.shape.spatial <= FEW;
}

// Adds one value to lane sums about a pivot.
template <class T, class In>
DEVICE void add_value(Accumulator<T, In>& accumulator, int lane, typename T::Compute x, typename T::Compute pivot) {
    const In difference = static_cast<In>(x) - static_cast<In>(pivot);
    accumulator.sum[lane] += difference;
    accumulator.product_sum[lane] = fma(difference, difference, accumulator.product_sum[lane]);
}

// The same about the reference in f64, for values whose squares f32 cannot hold.
template <class Compute>
DEVICE void add_value_in_double(Sums& sums, Compute x, double reference) {
    const double difference = static_cast<double>(x) - reference;
    sums.add(Sums{difference, difference * difference});
}

// Sums of `count` terms about the pivot, as they would be about the reference.
DEVICE Sums rebase(Sums sums, double count, double pivot, double reference) {
    const double by = INJECT_FAULT(5, pivot - reference, 0.0);
    return Sums{sums.sum + count * by, sums.product_sum + by * (2.0 * sums.sum + count * by)};
}

// Whether squares of f32 differences have overflowed, or vanished below what f32 can hold: then these terms are taken
// again in f64.
DEVICE bool out_of_range(float sum, float sum_of_squares) {
    return !(sum_of_squares < 1e37f) || (sum_of_squares < 1e-28f && (sum_of_squares != 0.0f || sum != 0.0f));
}
DEVICE bool out_of_range(double, double) { return false; }

// What a channel is normalized with.
template <class Compute>
struct Statistics {
    Compute mean;
    Compute mean_low;
    Compute inv_std;
};

// From a channel's sums about its reference: writes its statistics, and has the running ones follow. One thread of one
// block of the channel writes. The reference is the caller's, who read it before any block could write y over x.
template <class T>
DEVICE Statistics<typename T::Compute> finalize_statistics(
    const Arguments& a, i64 channel, double reference, Sums sums, bool writes) {
    typedef typename T::Compute Compute;
    const double count = static_cast<double>(a.shape.batch) * static_cast<double>(a.shape.spatial);
    // As a pair: of values of 10¹² the digits of a deviation near 1 are not in the first.
    const double drift = sums.sum / count;
    const double exact_mean = reference + drift, of_drift = exact_mean - reference;
    const double error = (reference - (exact_mean - of_drift)) + (drift - of_drift);
    double squares = sums.product_sum - sums.sum * (sums.sum / count);
    // Not max(): NaN stays.
    if (squares < 0.0) squares = 0.0;
    const double exact_variance = squares / count;
    const Compute mean = static_cast<Compute>(exact_mean);
    const double low = (exact_mean - static_cast<double>(mean)) + error;
    const Statistics<Compute> statistics{
        mean,
        is_finite(low) ? static_cast<Compute>(low) : static_cast<Compute>(0),
        inverse_std<Compute>(exact_variance, a.numbers.epsilon),
    };
    if (writes) {
        const Compute variance = static_cast<Compute>(exact_variance);
        set_channel_value(a.channel.mean, channel, statistics.mean);
        set_channel_value(a.channel.mean_low, channel, statistics.mean_low);
        set_channel_value(a.channel.variance, channel, variance);
        set_channel_value(a.channel.inv_std, channel, statistics.inv_std);
        update_running<Compute>(a, channel, statistics.mean, statistics.mean_low, variance, statistics.inv_std);
    }
    return statistics;
}

// As they stand in memory.
template <class Compute>
DEVICE Statistics<Compute> known_statistics(const Arguments& a, i64 channel) {
    return Statistics<Compute>{
        channel_value<Compute>(a.channel.mean, channel),
        channel_value<Compute>(a.channel.mean_low, channel),
        channel_value<Compute>(a.channel.inv_std, channel),
    };
}
