// The normal distribution, by the same operations in the same order as src/normal_distribution.rs.
#pragma once
#include "exponential.cuh"

// What its tail takes in each type, as src/normal_distribution.rs has it: from FARTHEST on Φ(−a) is zero.
template <class Compute>
struct Tail;

template <>
struct Tail<float> {
    static constexpr float FARTHEST = 16.0f, DENSITY_AT_ZERO = 3.989423e-1f;
    // The first half of the digits, whose square is exact.
    DEVICE static float first_digits(float a) { return __uint_as_float(__float_as_uint(a) & 0xfffff000u); }
    // (a + MIDDLE)·Φ(−a)·exp(a²/2) of t = (a − MIDDLE) / (a + MIDDLE).
    DEVICE static float scaled(float t) {
        const float coefficients[] = {
            -1.3807617e-4f, 1.6672684e-4f, 1.566339e-3f, -3.5058388e-3f, -7.521952e-3f,
            6.040276e-2f, -1.8652403e-1f, 3.8713697e-1f, -6.0789657e-1f, 7.5528514e-1f};
        return polynomial(t, coefficients);
    }
};

template <>
struct Tail<double> {
    static constexpr double FARTHEST = 40.0, DENSITY_AT_ZERO = 3.989422804014327e-1;
    DEVICE static double first_digits(double a) {
        return __longlong_as_double(__double_as_longlong(a) & ~0x7ffffffLL);
    }
    DEVICE static double scaled(double t) {
        const double coefficients[] = {
            -1.2257471429046725e-9, -4.024169864065239e-10, 1.4682038462670558e-8, 1.6279725504736983e-8,
            -7.723734444030106e-8, -1.5689184800174068e-7, 2.641102687789158e-7, 1.022096542321798e-6,
            -6.251638135221944e-7, -5.920128845345293e-6, 7.149373714821949e-7, 3.5144606357328145e-5,
            -1.907831573487961e-6, -2.3109491095265242e-4, 1.3334424620134935e-4, 1.6308184541480749e-3,
            -3.4796923613652515e-3, -7.540188966493278e-3, 6.039657489065383e-2, -1.865218579596636e-1,
            3.871374007422197e-1, -6.078966419718921e-1, 7.552851304157515e-1};
        return polynomial(t, coefficients);
    }
};

// Φ(−a), and a·φ(a), of a ≥ 0.
template <class Compute>
struct LowerTail {
    Compute probability;
    Compute density_times_a;

    DEVICE explicit LowerTail(Compute a) {
        typedef Tail<Compute> T;
        if (a > T::FARTHEST) a = T::FARTHEST;
        const Compute half = static_cast<Compute>(0.5), middle = static_cast<Compute>(4);
        const Compute first = T::first_digits(a);
        // a² = first² + (a + first)·(a − first): rounded, it would cost exp as many roundoffs as it is large.
        const Compute e = ExpOfNegative<Compute>(half * (first * first), half * ((a + first) * (a - first))).value();
        const Compute inverse = static_cast<Compute>(1) / (a + middle);
        probability = e * (inverse * T::scaled((a - middle) * inverse));
        density_times_a = a * (e * T::DENSITY_AT_ZERO);
    }
};
