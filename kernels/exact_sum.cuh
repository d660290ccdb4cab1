// Sums of a few numbers that are rounded once, and so are the same bits in whatever order their terms come: src/statistics/exact_sum.rs,
// with the same results.
#pragma once
#include "factors.cuh"

// The most numbers that can be held without overlapping: f64's range has no room for more. src/gpu/merge.rs knows it too.
static constexpr i64 MOST_PARTIALS = 48;

// Where a thread holds such numbers: a stack it has none.
struct PartialRoom {
    double* first;
    i64 stride;
    DEVICE double& operator[](i64 index) const { return first[index * stride]; }
};

// A sum, and what rounding took from it.
struct SumAndError {
    double sum, error;
};
DEVICE SumAndError sum_and_error_or_nan(double a, double b) {
    const double sum = a + b, of_b = sum - a;
    return SumAndError{sum, (a - (sum - of_b)) + (b - of_b)};
}
DEVICE SumAndError sum_and_error(double a, double b) {
    const SumAndError both = sum_and_error_or_nan(a, b);
    return SumAndError{both.sum, both.error == both.error ? both.error : 0.0};
}

DEVICE double magnitude(double value) { return value < 0.0 ? -value : value; }
DEVICE double not_a_number() { return __longlong_as_double(0x7ff8000000000000); }

// The sum of terms of which some are not finite: an infinity, or the one NaN.
template <class Each>
DEVICE double sum_of_not_finite(const Each& each) {
    double sum = 0.0;
    each([&](double term) {
        if (!is_finite(term)) sum += term;
    });
    return sum == sum ? sum : not_a_number();
}

// Shewchuk 1997, as Python's math.fsum has it, of terms times a power of two.
template <class Each>
DEVICE double shewchuk(const Each& each, double scale, const PartialRoom& partials) {
    i64 count = 0;
    each([&](double term) {
        double carried = term * scale;
        i64 kept = 0;
        for (i64 i = 0; i < count; ++i) {
            const SumAndError next = sum_and_error(carried, partials[i]);
            if (next.error != 0.0) partials[kept++] = next.error;
            carried = next.sum;
        }
        partials[kept] = carried;
        count = kept + 1;
    });
    double sum = 0.0;
    while (count > 0) {
        --count;
        const SumAndError next = sum_and_error(sum, partials[count]);
        sum = next.sum;
        if (next.error == 0.0) continue;
        // Halfway, what is below decides.
        const double below = count > 0 ? partials[count - 1] : 0.0;
        if ((next.error > 0.0 && below > 0.0) || (next.error < 0.0 && below < 0.0)) {
            const double away = sum + 2.0 * next.error;
            if (away - sum == 2.0 * next.error) sum = away;
        }
        break;
    }
    return sum;
}

// Σ of `terms` terms, correctly rounded, which `each` calls a function with, twice or more. Of terms that are not all finite it is
// the infinity among them, or NaN.
template <class Each>
DEVICE double exact_sum(const Each& each, i64 terms, const PartialRoom& partials) {
    double sum = 0.0, error = 0.0, error_of_error = 0.0, most = 0.0;
    each([&](double term) {
        const SumAndError next = sum_and_error_or_nan(sum, term);
        const SumAndError next_error = sum_and_error_or_nan(error, next.error);
        sum = next.sum;
        error = next_error.sum;
        error_of_error += next_error.error;
        most += magnitude(next_error.error);
    });
    // As on the processor: where both ends are rounded to the same number, so is the exact sum between them.
    constexpr double EPSILON = 0x1p-52;
    const SumAndError near = sum_and_error_or_nan(sum, error);
    const double slack = static_cast<double>(terms + 2) * EPSILON * most +
                         2.0 * EPSILON * (magnitude(near.error) + magnitude(error_of_error));
    const double residue = near.error + error_of_error;
    const double low = near.sum + (residue - slack), high = near.sum + (residue + slack);
    if (low == high) return low;
    bool finite = true;
    double largest = 0.0;
    each([&](double term) {
        finite = finite && is_finite(term);
        if (magnitude(term) > largest) largest = magnitude(term);
    });
    if (!finite) return sum_of_not_finite(each);
    const double count = static_cast<double>(terms);
    // A power of two: partial sums would overflow.
    const double scale = largest < largest_of(double()) / count / 4.0 ? 1.0 : power_of_two(-64);
    return shewchuk(each, scale, partials) / scale;
}
