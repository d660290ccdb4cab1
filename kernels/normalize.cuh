// Step 3: y from x.
//
//     v = (x − center)·scale + shift,  scale = γ·inv_std,  shift = β − rest·scale
//     y = v, ReLU(v), v + residual or ReLU(v + residual), rounded once
//
// center is the mean and rest what the mean rounds away, so that y keeps its digits where the mean is large beside the
// deviation. Where x − mean could overflow, center is 0 and rest is the mean.
#pragma once
#include "statistics.cuh"

template <class Compute>
struct Coefficients {
    Compute center;
    Compute scale;
    Compute shift;
};

DEVICE bool may_overflow(float inv_std) { return inv_std * 3.402823466e+38f < 16.0f; }
DEVICE bool may_overflow(double inv_std) { return inv_std * 1.7976931348623157e+308 < 16.0; }

// What the mean has beside center.
template <class Compute>
DEVICE Compute rounding_residue(Statistics<Compute> statistics) {
    return may_overflow(statistics.inv_std) ? statistics.mean + statistics.mean_low : statistics.mean_low;
}

template <class Compute>
DEVICE Coefficients<Compute> coefficients_of(const Arguments& a, i64 channel, Statistics<Compute> statistics) {
    const Compute scale = channel_value<Compute>(a.gamma, channel) * statistics.inv_std;
    return Coefficients<Compute>{
        may_overflow(statistics.inv_std) ? static_cast<Compute>(0) : statistics.mean,
        scale,
        fma(-rounding_residue(statistics), scale, channel_value<Compute>(a.beta, channel)),
    };
}

// Normalizes a packet and writes it; returns its mask byte. `of_lane(lane)` gives a lane's coefficients.
template <class T, class OfLane>
DEVICE u32 write_normalized(const Arguments& a, const Packet<T>& x, OfLane of_lane, i64 at, Lanes lanes) {
    typedef typename T::Compute Compute;
    const bool adds = a.epilogue >= ADD;
    Packet<T> residual = Packet<T>::zero();
    if (adds) residual = load<T, Reuse::Once>(a.residual, at, lanes, (a.aligned & RESIDUAL) != 0);
    Packet<T> y = Packet<T>::zero();
    u32 above = 0;
#pragma unroll
    for (int lane = 0; lane < Packet<T>::LANES; lane++) {
        const Coefficients<Compute> k = of_lane(lane);
        Compute v = fma(x[lane] - k.center, k.scale, k.shift);
        if (adds) v += residual[lane];
        // Written so that NaN passes.
        if (!(v <= T::ROUNDS_TO_ZERO)) above |= 1u << lane;
        if (a.epilogue % 2 == 1) v = v < static_cast<Compute>(0) ? static_cast<Compute>(0) : v;
        y.set(lane, v);
    }
    store<T>(a.out, at, lanes, (a.aligned & OUT) != 0, y);
    return above;
}
