// The activation: what becomes of v on its way to y, of dy on its way back to dv, and what forward saves for that. Which one it
// is, only this file and computed.cuh ask; forms.cuh asks whether there is one.
//
//     activation   y                      dv                             backward asks
//     None         v                      dy                             nothing
//     ReLU         max(v, 0)              dy where v > 0, else 0         whether v > 0
//     ReLU6        min(max(v, 0), 6)      dy where 0 < v < 6, else 0     whether 0 < v < 6
//     leaky ReLU   v or slope·v           dy where v > 0, else slope·dy  whether v > 0
//     SiLU         v·σ(v)                 dy·σ(v)·(1 + v·σ(−v))          for v
//     the others   are in computed.cuh; of all of them backward asks for v
//
// Where nothing is saved, backward finds v again from x; after a residual, which it has not, it reads what was saved: a
// bit for each value, or v itself.
#pragma once
#include "computed.cuh"
#include "element.cuh"

// Whether dy passes at v: whether v is above zero when it is rounded to T, and for ReLU6 below six. Written so that NaN is: ReLU
// passes it on, and its gradient too.
template <class T>
DEVICE bool passes_at(Activation activation, typename T::Compute v) {
    return !(v <= T::ROUNDS_TO_ZERO) && !(activation == Activation::Relu6 && v >= T::ROUNDS_TO_SIX);
}

// What backward reads of what was saved of a packet's v: its mask; or where v itself is, which is read lane by lane:
// registers for another packet would be taken from the activations that need none.
template <class T>
struct SavedPacket {
    static_assert(Width<T>::LANES <= 8, "a mask has one byte for a packet, so a packet at most 8 values");

    u32 mask;
    i64 at;
    Lanes lanes;

    DEVICE bool passes(int lane) const { return (mask >> lane & 1u) != 0; }
    DEVICE typename T::Compute value_of(const Arguments& a, int lane) const {
        return lanes.has(lane) ? value_at<T>(a.arrays.preactivation, at + lane) : static_cast<typename T::Compute>(0);
    }
};

template <class T, class Place>
DEVICE SavedPacket<T> load_saved(const Arguments& a, const Place& place) {
    const u32 mask = a.choices.saved == Saved::Mask ? a.arrays.mask[place.mask_byte(a)] : 0u;
    return SavedPacket<T>{mask, place.at, place.lanes};
}

// Saves of a packet's v what backward will ask for.
template <class T, class Place>
DEVICE void store_saved(const Arguments& a, const Place& place, const typename T::Compute (&v)[Width<T>::LANES]) {
    if (a.choices.saved == Saved::Mask) {
        u32 mask = 0;
#pragma unroll
        for (int lane = 0; lane < Width<T>::LANES; lane++)
            if (passes_at<T>(a.choices.activation, v[lane])) mask |= 1u << lane;
        a.arrays.mask[place.mask_byte(a)] = static_cast<u8>(mask);
    }
    if (a.choices.saved == Saved::PreActivation) {
        const bool aligned = (a.choices.aligned & static_cast<u32>(Aligned::PreActivation)) != 0;
        store<T>(a.arrays.preactivation, place.at, place.lanes, aligned, Packet<T>::encode(v));
    }
}

// Whether backward computes v from x.
DEVICE bool recomputes_v(const Arguments& a) {
    return a.choices.activation != Activation::None && a.choices.saved == Saved::Nothing;
}

// A packet's v becomes its y. Which activation it is is asked once for all lanes.
template <class Compute, int LANES>
DEVICE void activation_forward(const Arguments& a, Compute (&v)[LANES]) {
    if (a.choices.activation == Activation::None) return;
    if (a.choices.activation == Activation::Relu || a.choices.activation == Activation::Relu6) {
        const bool is_cut_at_six = a.choices.activation == Activation::Relu6;
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) {
            if (v[lane] < static_cast<Compute>(0)) v[lane] = 0;
            if (is_cut_at_six && v[lane] > static_cast<Compute>(6)) v[lane] = 6;
        }
    } else if (a.choices.activation == Activation::Silu) {
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) v[lane] = v[lane] * Logistic<Compute>(v[lane]).of_v;
    } else if (a.choices.activation == Activation::LeakyRelu) {
        const Compute slope = static_cast<Compute>(a.numbers.parameter);
#pragma unroll
        for (int lane = 0; lane < LANES; lane++)
            if (v[lane] <= static_cast<Compute>(0)) v[lane] = slope * v[lane];
    } else {
        const Compute parameter = static_cast<Compute>(a.numbers.parameter);
#pragma unroll
        for (int lane = 0; lane < LANES; lane++)
            v[lane] = computed_forward(a.choices.activation, parameter, v[lane]);
    }
}

// A packet's dy becomes its dv. v(lane) computes v where that is needed.
template <class T, class V>
DEVICE void activation_backward(
    const Arguments& a, typename T::Compute (&dy)[Width<T>::LANES], const SavedPacket<T>& saved, V v) {
    typedef typename T::Compute Compute;
    constexpr int LANES = Width<T>::LANES;
    if (a.choices.activation == Activation::None) return;
    if (a.choices.activation == Activation::Silu) {
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) {
            const Compute at = v(lane);
            const Logistic<Compute> sigma(at);
            dy[lane] = dy[lane] * (sigma.of_v * (static_cast<Compute>(1) + at * sigma.of_negative));
        }
        return;
    }
    if (is_computed_apart(a.choices.activation)) {
        const Compute parameter = static_cast<Compute>(a.numbers.parameter);
#pragma unroll
        for (int lane = 0; lane < LANES; lane++)
            dy[lane] = computed_backward(a.choices.activation, parameter, dy[lane], v(lane));
        return;
    }
    const auto hold_back = [&](int lane, bool passes) {
        if (passes) return;
        // Chosen, not multiplied: zero times infinity would be NaN, and zero times a negative value −0.
        dy[lane] = a.choices.activation == Activation::LeakyRelu ? static_cast<Compute>(a.numbers.parameter) * dy[lane]
                                                                 : static_cast<Compute>(0);
    };
    if (a.choices.saved == Saved::Mask) {
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) hold_back(lane, saved.passes(lane));
    } else {
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) hold_back(lane, passes_at<T>(a.choices.activation, v(lane)));
    }
}
