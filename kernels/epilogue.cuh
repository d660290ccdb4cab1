// The activation: what becomes of v on its way to y, of dy on its way back to dv, and what forward saves for that. No
// other file of kernels asks which activation it is.
//
//     activation   y           dv                       backward asks
//     None         v           dy                       nothing
//     ReLU         max(v, 0)   dy where v > 0, else 0   whether v > 0
//     leaky ReLU   v where v > 0, else slope·v; dv is dy or slope·dy, and backward asks what it asks for ReLU
//     SiLU         v·σ(v); dv is dy·σ(v)·(1 + v·σ(−v)), and backward asks for v
//
// Where nothing is saved, backward finds v again from x; after a residual, which it has not, it reads what was saved: a
// bit for each value, or v itself.
#pragma once
#include "element.cuh"
#include "logistic.cuh"

// Whether v is above zero when it is rounded to T. Written so that NaN is: ReLU passes it on, and its gradient too.
template <class T>
DEVICE bool is_above_zero(typename T::Compute v) {
    return !(v <= T::ROUNDS_TO_ZERO);
}

// What is saved of a packet's v: its mask; or v itself, of which only the place is here. Forward has v in the packet of
// the residual, which it no longer needs, and backward reads it lane by lane: registers for another packet would be taken
// from the activations that need none.
template <class T>
struct SavedPacket {
    static_assert(Width<T>::LANES <= 8, "a mask has one byte for a packet, so a packet at most 8 values");

    u32 mask;
    i64 at;
    Lanes lanes;

    DEVICE static SavedPacket nothing() { return SavedPacket{0, 0, Lanes{0, 0}}; }
    DEVICE void set(int lane, typename T::Compute v) {
        if (is_above_zero<T>(v)) mask |= 1u << lane;
    }
    DEVICE bool is_above_zero_at(int lane) const { return (mask >> lane & 1u) != 0; }
    DEVICE typename T::Compute value_of(const Arguments& a, int lane) const {
        return lanes.has(lane) ? value_at<T>(a.arrays.preactivation, at + lane) : static_cast<typename T::Compute>(0);
    }
};

template <class T, class Place>
DEVICE SavedPacket<T> load_saved(const Arguments& a, const Place& place) {
    const u32 mask = a.choices.saved == Saved::Mask ? a.arrays.mask[place.mask_byte(a)] : 0u;
    return SavedPacket<T>{mask, place.at, place.lanes};
}

// `v` is looked at only where it is saved.
template <class T, class Place>
DEVICE void store_saved(const Arguments& a, const Place& place, const SavedPacket<T>& saved, const Packet<T>& v) {
    if (a.choices.saved == Saved::Mask) a.arrays.mask[place.mask_byte(a)] = static_cast<u8>(saved.mask);
    if (a.choices.saved == Saved::PreActivation) {
        const bool aligned = (a.choices.aligned & static_cast<u32>(Aligned::PreActivation)) != 0;
        store<T>(a.arrays.preactivation, place.at, place.lanes, aligned, v);
    }
}

// Whether backward computes v from x.
DEVICE bool recomputes_v(const Arguments& a) {
    return a.choices.activation != Activation::None && a.choices.saved == Saved::Nothing;
}

// y from v.
template <class Compute>
DEVICE Compute activation_forward(const Arguments& a, Compute v) {
    if (a.choices.activation == Activation::Relu) return v < static_cast<Compute>(0) ? static_cast<Compute>(0) : v;
    if (a.choices.activation == Activation::Silu) return v * Logistic<Compute>(v).of_v;
    if (a.choices.activation == Activation::LeakyRelu)
        return v <= static_cast<Compute>(0) ? static_cast<Compute>(a.numbers.slope) * v : v;
    return v;
}

// dv from dy, of one lane. v() computes v where that is needed.
template <class T, class V>
DEVICE typename T::Compute activation_backward(
    const Arguments& a, typename T::Compute dy, const SavedPacket<T>& saved, int lane, V v) {
    if (a.choices.activation == Activation::None) return dy;
    if (a.choices.activation == Activation::Silu) {
        const typename T::Compute at = v();
        const Logistic<typename T::Compute> sigma(at);
        return dy * (sigma.of_v * (static_cast<typename T::Compute>(1) + at * sigma.of_negative));
    }
    const bool passes = a.choices.saved == Saved::Mask ? saved.is_above_zero_at(lane) : is_above_zero<T>(v());
    if (passes) return dy;
    // Chosen, not multiplied: zero times infinity would be NaN, and zero times a negative value −0.
    if (a.choices.activation == Activation::Relu) return static_cast<typename T::Compute>(0);
    return static_cast<typename T::Compute>(a.numbers.slope) * dy;
}
