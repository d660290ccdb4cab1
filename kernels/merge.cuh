// What several ranks have of a batch, merged to what the whole has: src/statistics/merge.rs and gradients.rs, with the same bits.
//
//     mean = Σ nᵣ·meanᵣ / M,   m2 = Σ m2ᵣ + Σ nᵣ·(meanᵣ − mean)²      each sum rounded once
//
// Of `shape.batch` ranks: at arrays.x is what they have gathered, (ranks, arrays, C) in the type that is computed in; at arrays.dy are
// their values per channel in f64, of which there are numbers.count in all. A part without values counts for nothing, whatever
// is there; of one that alone has any the numbers are those of the whole, as they are.
#pragma once
#include "exact_sum.cuh"

// What ranks have told of a channel.
template <class Compute>
struct Told {
    const Compute* arrays;
    const double* counts;
    i64 ranks, arrays_of_rank, channels, channel;

    DEVICE Told(const Arguments& a, i64 arrays_of_rank, i64 channel)
        : arrays(static_cast<const Compute*>(a.arrays.x)), counts(static_cast<const double*>(a.arrays.dy)),
          ranks(a.shape.batch), arrays_of_rank(arrays_of_rank), channels(a.shape.channels), channel(channel) {}

    DEVICE Compute of(i64 rank, i64 array) const { return arrays[(rank * arrays_of_rank + array) * channels + channel]; }
    DEVICE double value(i64 rank, i64 array) const { return static_cast<double>(of(rank, array)); }

    template <class Use>
    DEVICE void each_filled(const Use& use) const {
        for (i64 rank = 0; rank < ranks; ++rank)
            if (counts[rank] > 0.0) use(rank);
    }
    // The only part with values, or none where there are several.
    DEVICE i64 only() const {
        i64 filled = 0, last = -1;
        each_filled([&](i64 rank) {
            ++filled;
            last = rank;
        });
        return filled == 1 ? last : -1;
    }
};

// A count, scaled by a power of two to at most one so that no product overflows, in two halves of 26 bits.
struct Weight {
    double high, low;

    DEVICE Weight(double count, double total) {
        const double scale = power_of_two(-(exponent_of(total) + 1));
        const i64 whole = static_cast<i64>(count), low_bits = whole & ((1 << 26) - 1);
        high = static_cast<double>(whole - low_bits) * scale;
        low = static_cast<double>(low_bits) * scale;
    }
    DEVICE double value() const { return high + low; }
    // The product with a value, as a sum of numbers that are exact (unless they are too small for their digits).
    template <class Add>
    DEVICE void times(double value, const Add& add) const {
        const double upper = __longlong_as_double(__double_as_longlong(value) & ~((1ll << 26) - 1)), lower = value - upper;
        add(high * upper);
        add(high * lower);
        add(low * upper);
        add(low * lower);
    }
};

// A sum of squared deviations from a variance as a kernel has stored it, and with next to no ε 1/sqrt of that, which knows more where
// the variance is beyond the type: src/gpu/in_f64.rs.
DEVICE double smallest_sure_square(float) { return 1e-30; }
DEVICE double smallest_sure_square(double) { return 0.0; }
template <class Compute>
DEVICE double exact_variance(Compute stored, Compute stored_inv_std) {
    const double variance = static_cast<double>(stored), inv_std = static_cast<double>(stored_inv_std);
    const double largest = largest_of(Compute());
    const bool in_full = sizeof(Compute) == 8 || (variance >= smallest_sure_square(Compute()) && variance <= largest);
    const bool known = inv_std > 0.0 && inv_std < largest;
    return in_full || !known ? variance : 1.0 / (inv_std * inv_std);
}

// The moments of a channel of the whole batch, as processors have them in f64.
struct Moments {
    double mean, mean_low, m2;
};

static constexpr i64 MEAN = 0, MEAN_LOW = 1, VARIANCE = 2, INV_STD = 3, STATISTICS = 4;

template <class Compute>
DEVICE Moments merged_moments(const Told<Compute>& told, double total, const PartialRoom& partials) {
    const auto m2_of = [&](i64 rank) {
        return exact_variance(told.of(rank, VARIANCE), told.of(rank, INV_STD)) * told.counts[rank];
    };
    const i64 only = told.only();
    if (only >= 0) return Moments{told.value(only, MEAN), told.value(only, MEAN_LOW), m2_of(only)};

    bool finite = true;
    told.each_filled([&](i64 rank) { finite = finite && is_finite(told.value(rank, MEAN)); });
    if (!finite) {
        const auto means = [&](const auto& add) { told.each_filled([&](i64 rank) { add(told.value(rank, MEAN)); }); };
        return Moments{sum_of_not_finite(means), 0.0, not_a_number()};
    }

    const Weight whole(total, total);
    const auto weighted = [&](const auto& add) {
        told.each_filled([&](i64 rank) {
            const Weight weight(told.counts[rank], total);
            weight.times(told.value(rank, MEAN), add);
            add(weight.value() * told.value(rank, MEAN_LOW));
        });
    };
    const double near = exact_sum(weighted, 5 * told.ranks, partials) / whole.value();
    const auto without_near = [&](const auto& add) {
        weighted(add);
        whole.times(-near, add);
    };
    const double rest = exact_sum(without_near, 5 * told.ranks + 4, partials) / whole.value();
    const SumAndError mean = sum_and_error(near, rest);
    const auto squares = [&](const auto& add) {
        told.each_filled([&](i64 rank) {
            add(m2_of(rank));
            const SumAndError difference = sum_and_error(told.value(rank, MEAN), -mean.sum);
            const double apart = difference.sum + (difference.error + (told.value(rank, MEAN_LOW) - mean.error));
            add(told.counts[rank] * (apart * apart));
        });
    };
    return Moments{mean.sum, mean.error, exact_sum(squares, 2 * told.ranks, partials)};
}

template <class Compute>
DEVICE void merge_statistics(const Arguments& a, i64 channel, const PartialRoom& partials) {
    const double total = a.numbers.count;
    const Moments whole = merged_moments(Told<Compute>(a, STATISTICS, channel), total, partials);
    const double variance = whole.m2 / total;
    const Compute mean = static_cast<Compute>(whole.mean);
    const double low = (whole.mean - static_cast<double>(mean)) + whole.mean_low;
    set_channel_value(a.channel.mean, channel, mean);
    set_channel_value(a.channel.mean_low, channel, static_cast<Compute>(is_finite(low) ? low : 0.0));
    set_channel_value(a.channel.variance, channel, static_cast<Compute>(variance));
    set_channel_value(a.channel.inv_std, channel, inverse_std<Compute>(variance, a.numbers.epsilon));
}

// Σ dv·x̂ and Σ dv.
template <class Compute>
DEVICE void merge_gradients(const Arguments& a, i64 channel, const PartialRoom& partials) {
    const Told<Compute> told(a, 2, channel);
    const i64 only = told.only();
    const auto merged = [&](i64 array) {
        if (only >= 0) return told.of(only, array);
        const auto sums = [&](const auto& add) { told.each_filled([&](i64 rank) { add(told.value(rank, array)); }); };
        return static_cast<Compute>(exact_sum(sums, told.ranks, partials));
    };
    set_channel_value(a.channel.dgamma, channel, merged(0));
    set_channel_value(a.channel.dbeta, channel, merged(1));
}

// Does something for each channel, with room of the thread's in the workspace: a launch may have fewer threads than channels.
template <class Merge>
DEVICE void each_channel_with_room(const Arguments& a, const Merge& merge) {
    const i64 threads = static_cast<i64>(gridDim.x) * blockDim.x;
    const i64 thread = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
    const PartialRoom partials{a.workspace.partials + thread, threads};
    for (i64 channel = thread; channel < a.shape.channels; channel += threads) merge(channel, partials);
}
