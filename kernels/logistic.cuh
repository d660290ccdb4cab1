// σ(v) = 1 / (1 + exp(−v)), by the same operations in the same order as src/logistic.rs: as nothing is contracted, the SIMT
// host and a GPU give the same bits.
#pragma once
#include "device.cuh"

// What exp(−a) takes in each type, as src/logistic.rs has it: ROUND is 1.5·2^(digits of the significand), a number
// added to which is rounded to an integer; the logarithm of 2 is in two parts; the terms are 1/n!, from the last to 1/2!.
template <class Compute>
struct Exponential;

template <>
struct Exponential<float> {
    static constexpr float ROUND = 12582912.0f, MOST = 104.0f, LN2 = 0.693359375f, LN2_LOW = -2.1219444e-4f;
    static constexpr float LOG2E = 1.44269504088896340736f;
    DEVICE static float series(float r) {
        float sum = 1.0f / 5040.0f;
        sum = sum * r + 1.0f / 720.0f;
        sum = sum * r + 1.0f / 120.0f;
        sum = sum * r + 1.0f / 24.0f;
        sum = sum * r + 1.0f / 6.0f;
        return sum * r + 0.5f;
    }
    // 2^n in two factors: it may be subnormal.
    DEVICE static float times_two_to(float power, float rounded) {
        const int n = static_cast<int>(__float_as_uint(rounded) - __float_as_uint(ROUND)), half = n >> 1;
        return power * __uint_as_float(static_cast<u32>(half + 127) << 23) * __uint_as_float(static_cast<u32>(n - half + 127) << 23);
    }
};

template <>
struct Exponential<double> {
    static constexpr double ROUND = 6755399441055744.0, MOST = 746.0, LN2 = 6.93147180369123816e-1;
    static constexpr double LN2_LOW = 1.9082149292705877e-10, LOG2E = 1.44269504088896340736;
    DEVICE static double series(double r) {
        double sum = 1.0 / 6227020800.0;
        sum = sum * r + 1.0 / 479001600.0;
        sum = sum * r + 1.0 / 39916800.0;
        sum = sum * r + 1.0 / 3628800.0;
        sum = sum * r + 1.0 / 362880.0;
        sum = sum * r + 1.0 / 40320.0;
        sum = sum * r + 1.0 / 5040.0;
        sum = sum * r + 1.0 / 720.0;
        sum = sum * r + 1.0 / 120.0;
        sum = sum * r + 1.0 / 24.0;
        sum = sum * r + 1.0 / 6.0;
        return sum * r + 0.5;
    }
    DEVICE static double times_two_to(double power, double rounded) {
        const i64 n = __double_as_longlong(rounded) - __double_as_longlong(ROUND), half = n >> 1;
        return power * __longlong_as_double((half + 1023) << 52) *
               __longlong_as_double((n - half + 1023) << 52);
    }
};

// exp(−a) of a ≥ 0.
template <class Compute>
DEVICE Compute exp_of_negative(Compute a) {
    typedef Exponential<Compute> E;
    // Below this, zero is nearest. Written so that NaN stays.
    if (a > E::MOST) a = E::MOST;
    const Compute rounded = a * -E::LOG2E + E::ROUND;
    const Compute n = rounded - E::ROUND;
    const Compute r = (-a - n * E::LN2) - n * E::LN2_LOW;
    return E::times_two_to((E::series(r) * (r * r) + r) + static_cast<Compute>(1), rounded);
}

// σ(v), and σ(−v), which is 1 − σ(v) without the digits that this would lose.
template <class Compute>
struct Logistic {
    Compute of_v;
    Compute of_negative;

    DEVICE explicit Logistic(Compute v) {
        const Compute e = exp_of_negative<Compute>(v < static_cast<Compute>(0) ? -v : v);
        const Compute inverse = static_cast<Compute>(1) / (static_cast<Compute>(1) + e);
        of_v = v < static_cast<Compute>(0) ? e * inverse : inverse;
        of_negative = v < static_cast<Compute>(0) ? inverse : e * inverse;
    }
};
