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

// A power of two, and the exponent of the one below a normal number or zero.
DEVICE double power_of_two(i64 exponent) { return __longlong_as_double((exponent + 1023) << 52); }
DEVICE i64 exponent_of(double value) { return (__double_as_longlong(value) >> 52 & 2047) - 1023; }

// γ·inv_std. Where it is no number of the type, though γ·x̂ need not be beyond it: a power of two, and what that leaves. The power
// is 1 everywhere else.
template <class Compute>
struct TwoFactors {
    Compute lift;
    Compute rest;
};

// `center` is lifted too, and stays finite.
template <class Compute>
DEVICE TwoFactors<Compute> two_factors(Compute gamma, Compute inv_std, Compute center) {
    // The inverse of the largest power has all its digits too.
    constexpr i64 MOST = sizeof(Compute) == 4 ? 127 : 1022;
    const double of_gamma = static_cast<double>(gamma), of_inv_std = static_cast<double>(inv_std);
    const double product = of_gamma * of_inv_std, largest = largest_of(Compute());
    i64 exponent = 0;
    if ((product > largest || product < -largest) && is_finite(of_gamma) && is_finite(of_inv_std)) {
        const i64 above = exponent_of(of_inv_std) + 1, room = MOST - 1 - exponent_of(static_cast<double>(center));
        exponent = above < room ? above : room;
        if (exponent > MOST) exponent = MOST;
        if (exponent < 0) exponent = 0;
    }
    const double rest = of_gamma * (of_inv_std * power_of_two(-exponent));
    return TwoFactors<Compute>{
        static_cast<Compute>(power_of_two(exponent)), finite_factor<Compute>(rest, of_gamma, of_inv_std)};
}

// 1 / sqrt(variance + ε), at most the type's largest value: as if ε were at least what gives that.
template <class Compute>
DEVICE Compute inverse_std(double variance, double epsilon) {
    return finite_factor<Compute>(1.0 / __dsqrt_rn(variance + epsilon), variance, epsilon);
}
