// What values are multiplied by: finite, where it is made of finite numbers.
#pragma once
#include "element.cuh"

DEVICE double largest_of(float) { return 3.4028234663852886e+38; }
DEVICE double largest_of(double) { return 1.7976931348623157e+308; }

// A factor made of finite numbers, and instead of infinity the type's largest value: a constant channel has x − mean = 0, and
// zero times infinity would be NaN.
template <class Compute>
DEVICE Compute finite_factor(double factor, double of, double of_other) {
    const double largest = largest_of(Compute());
    if (is_finite(of) && is_finite(of_other)) {
        if (factor > largest) factor = largest;
        if (factor < -largest) factor = -largest;
    }
    return static_cast<Compute>(factor);
}

// 1 / sqrt(variance + ε), at most the type's largest value: as if ε were at least what gives that.
template <class Compute>
DEVICE Compute inverse_std(double variance, double epsilon) {
    return finite_factor<Compute>(1.0 / __dsqrt_rn(variance + epsilon), variance, epsilon);
}
