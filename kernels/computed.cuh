// Activations that are computed where others choose between v and something simple, by the same operations in the same order as
// src/cpu/epilogue/computed.rs.
//
// For one value, and as functions of their own: they are long, and inlined into every loop they would take registers from the
// launches that have none of them. SiLU is the exception (epilogue.cuh).
#pragma once
#include "logistic.cuh"
#include "normal_distribution.cuh"

// Whether it is one of those here.
DEVICE bool is_computed_apart(Activation activation) {
    // Without a default: what compiles this for the SIMT host refuses one that is missing.
    switch (activation) {
    case Activation::None:
    case Activation::Relu:
    case Activation::Relu6:
    case Activation::LeakyRelu:
    case Activation::Silu: return false;
    case Activation::Elu:
    case Activation::Hardswish:
    case Activation::Sigmoid:
    case Activation::Tanh:
    case Activation::Gelu:
    case Activation::GeluTanh: return true;
    }
    return true; // which traps there
}

// Half of 1 + tanh z is σ(2z): σ(2z) and σ(−2z), and the derivative of 2z times v.
template <class Compute>
struct GeluTanhGate {
    Compute of_v;
    Compute of_negative;
    Compute slope;

    DEVICE explicit GeluTanhGate(Compute v) {
        // Farther out σ(2z) is 0 or 1 to the last digit, and the cube of v may be infinite.
        const Compute farthest = static_cast<Compute>(32);
        if (v > farthest) v = farthest;
        if (v < -farthest) v = -farthest;
        // 2·√(2/π), and 0.044715 times it.
        const Compute linear = static_cast<Compute>(1.5957691216057308);
        const Compute cubic = static_cast<Compute>(0.07135481627260025) * (v * v);
        const Logistic<Compute> sigma(v * (linear + cubic));
        of_v = sigma.of_v;
        of_negative = sigma.of_negative;
        slope = v * (linear + static_cast<Compute>(3) * cubic);
    }
};

// y of one value. `parameter` is ELU's alpha.
template <class Compute>
APART Compute computed_forward(Activation activation, Compute parameter, Compute v) {
    const Compute zero = 0, one = 1;
    const Compute magnitude = v < zero ? -v : v;
    if (activation == Activation::Elu) {
        const Compute below = -(parameter * ExpOfNegative<Compute>(magnitude).complement());
        return v <= zero ? below : v;
    }
    if (activation == Activation::Hardswish) {
        const Compute six = 6;
        Compute above = v + static_cast<Compute>(3);
        if (above < zero) above = zero;
        if (above > six) above = six;
        return v * (above * (one / six));
    }
    if (activation == Activation::Sigmoid) return Logistic<Compute>(v).of_v;
    if (activation == Activation::Tanh) {
        const ExpOfNegative<Compute> e(static_cast<Compute>(2) * magnitude);
        const Compute of_magnitude = e.complement() / (one + e.value());
        return v < zero ? -of_magnitude : of_magnitude;
    }
    if (activation == Activation::Gelu) {
        const Compute tail = LowerTail<Compute>(magnitude).probability;
        return v * (v < zero ? tail : one - tail);
    }
    if (activation == Activation::GeluTanh) return v * GeluTanhGate<Compute>(v).of_v;
    __trap(); // a new one, which needs its entry here
    return v;
}

// dv of one value.
template <class Compute>
APART Compute computed_backward(Activation activation, Compute parameter, Compute dy, Compute v) {
    const Compute zero = 0, one = 1, two = 2;
    const Compute magnitude = v < zero ? -v : v;
    if (activation == Activation::Elu) {
        const Compute below = parameter * ExpOfNegative<Compute>(magnitude).value();
        return dy * (v <= zero ? below : one);
    }
    if (activation == Activation::Hardswish) {
        const Compute three = 3;
        if (v > -three && v < three) return dy * (v * (one / three) + static_cast<Compute>(0.5));
        // Chosen, not multiplied: zero times infinity would be NaN.
        return v <= -three ? zero : dy;
    }
    if (activation == Activation::Sigmoid) {
        const Logistic<Compute> sigma(v);
        return dy * (sigma.of_v * sigma.of_negative);
    }
    if (activation == Activation::Tanh) {
        const Compute e = ExpOfNegative<Compute>(two * magnitude).value();
        const Compute twice_inverse = two / (one + e);
        return dy * (e * (twice_inverse * twice_inverse));
    }
    if (activation == Activation::Gelu) {
        const LowerTail<Compute> tail(magnitude);
        const Compute of_negative = tail.probability - tail.density_times_a;
        return dy * (v < zero ? of_negative : one - of_negative);
    }
    if (activation == Activation::GeluTanh) {
        const GeluTanhGate<Compute> gate(v);
        return dy * (gate.of_v * (one + gate.slope * gate.of_negative));
    }
    __trap(); // a new one, which needs its entry here
    return dy;
}
