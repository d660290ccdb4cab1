// The forms that a kernel is compiled in. What most launches do not ask for (an epilogue, planes that begin within a packet)
// is a constant in the plain form, and costs nothing there; the launch's arguments choose the form, once.
//
//     plain       nothing but y, or nothing but sums and dx through the statistics of the batch; every packet aligned
//     any         everything there is
#pragma once
#include "loads.cuh"

// What the plain form says of alignment: more than any launch can.
static constexpr u32 EVERY_PACKET_ALIGNED = 0xffffffffu;

DEVICE bool is_aligned_or_absent(const Arguments& a, const void* array, Aligned bit) {
    return array == nullptr || is_aligned(a, bit);
}

// Whether the plain form does what is asked for forward.
DEVICE bool forward_is_plain(const Arguments& a) {
    return a.choices.activation == Activation::None && a.choices.saved == Saved::Nothing &&
           a.arrays.residual == nullptr && is_aligned(a, Aligned::X) &&
           is_aligned_or_absent(a, a.arrays.out, Aligned::Out);
}

// Whether the plain form does what is asked for backward.
DEVICE bool backward_is_plain(const Arguments& a) {
    return a.choices.activation == Activation::None && a.arrays.dresidual == nullptr &&
           (a.choices.batch_statistics != 0 || a.arrays.out == nullptr) && is_aligned(a, Aligned::X) &&
           is_aligned(a, Aligned::Dy) && is_aligned_or_absent(a, a.arrays.out, Aligned::Out);
}

// The arguments of the plain form: the same, with what is known of them as constants for the compiler.
DEVICE Arguments plain(Arguments a) {
    a.arrays.residual = nullptr;
    a.arrays.dresidual = nullptr;
    a.choices.activation = Activation::None;
    a.choices.saved = Saved::Nothing;
    a.choices.batch_statistics = 1;
    a.choices.aligned = EVERY_PACKET_ALIGNED;
    return a;
}

// The arguments of the other form: the same, of which the compiler knows that they are not the plain form's.
DEVICE Arguments any(Arguments a) {
    a.choices.aligned &= 0xffu;
    return a;
}

DEVICE bool is_plain_form(const Arguments& a) { return a.choices.aligned == EVERY_PACKET_ALIGNED; }
