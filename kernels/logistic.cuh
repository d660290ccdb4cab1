// The logistic function, by the same operations in the same order as src/logistic.rs.
#pragma once
#include "exponential.cuh"

// σ(v) = 1 / (1 + exp(−v)), and σ(−v), which is 1 − σ(v) without the digits that this would lose.
template <class Compute>
struct Logistic {
    Compute of_v;
    Compute of_negative;

    DEVICE explicit Logistic(Compute v) {
        const Compute e = ExpOfNegative<Compute>(v < static_cast<Compute>(0) ? -v : v).value();
        const Compute inverse = static_cast<Compute>(1) / (static_cast<Compute>(1) + e);
        of_v = v < static_cast<Compute>(0) ? e * inverse : inverse;
        of_negative = v < static_cast<Compute>(0) ? inverse : e * inverse;
    }
};
