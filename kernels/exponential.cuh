// Exponentials, by the same operations in the same order as src/exponential.rs: as nothing is contracted, the SIMT host and a
// GPU give the same bits.
#pragma once
#include "device.cuh"

// What exp(−a) takes in each type, as src/exponential.rs has it: ROUND is 1.5·2^(digits of the significand), a number
// added to which is rounded to an integer; of exp(−MOST) zero is nearest; the logarithm of 2 is in two parts.
template <class Compute>
struct Exponential;

// A polynomial, from the highest coefficient on, by Horner's rule.
template <class Compute, int N>
DEVICE Compute polynomial(Compute at, const Compute (&coefficients)[N]) {
    Compute sum = coefficients[0];
#pragma unroll
    for (int i = 1; i < N; i++) sum = sum * at + coefficients[i];
    return sum;
}

template <>
struct Exponential<float> {
    static constexpr float ROUND = 12582912.0f, MOST = 104.0f, LN2 = 0.693359375f, LN2_LOW = -2.1219444e-4f;
    static constexpr float LOG2E = 1.44269504088896340736f;
    // (exp(r) − 1 − r) / r².
    DEVICE static float series(float r) {
        const float terms[] = {1.0f / 5040.0f, 1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f};
        return polynomial(r, terms);
    }
    DEVICE static int integer(float rounded) { return static_cast<int>(__float_as_uint(rounded) - __float_as_uint(ROUND)); }
    DEVICE static float two_to(int n) { return __uint_as_float(static_cast<u32>(n + 127) << 23); }
};

template <>
struct Exponential<double> {
    static constexpr double ROUND = 6755399441055744.0, MOST = 746.0, LN2 = 6.93147180369123816e-1;
    static constexpr double LN2_LOW = 1.9082149292705877e-10, LOG2E = 1.44269504088896340736;
    DEVICE static double series(double r) {
        const double terms[] = {
            1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0,
            1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5};
        return polynomial(r, terms);
    }
    DEVICE static i64 integer(double rounded) { return __double_as_longlong(rounded) - __double_as_longlong(ROUND); }
    DEVICE static double two_to(i64 n) { return __longlong_as_double((n + 1023) << 52); }
};

// exp(−a) of a ≥ 0, as 2ⁿ·(1 + p); NaN of NaN.
template <class Compute>
struct ExpOfNegative {
    typedef Exponential<Compute> E;

    Compute p;
    // 2ⁿ is first·second: it may be subnormal.
    Compute first, second;

    // Of a + low, where that is not one number of the type. low is a twentieth at most.
    DEVICE explicit ExpOfNegative(Compute a, Compute low = 0) {
        // Written so that NaN stays.
        if (a > E::MOST) a = E::MOST;
        const Compute rounded = a * -E::LOG2E + E::ROUND;
        const Compute n = rounded - E::ROUND;
        const Compute r = ((-a - n * E::LN2) - n * E::LN2_LOW) - low;
        p = E::series(r) * (r * r) + r;
        const auto whole = E::integer(rounded), half = whole >> 1;
        first = E::two_to(half);
        second = E::two_to(whole - half);
    }

    DEVICE Compute value() const { return (p + static_cast<Compute>(1)) * first * second; }

    // 1 − exp(−a): of small a it has the digits that the difference would lose.
    DEVICE Compute complement() const {
        const Compute two_to_n = first * second;
        return (static_cast<Compute>(1) - two_to_n) - p * two_to_n;
    }
};
