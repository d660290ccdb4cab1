// Step 3: y from x.
//
//     v = (x − center)·scale + shift + residual,  scale = γ·inv_std,  shift = β − rounding_residue·scale
//     y = activation(v), rounded once
//
// x − center is computed as fma(x, lift, −center·lift), which rounds as the difference does. The lift is 1, but where γ·inv_std is
// beyond the type: there scale is what the lift leaves of it (factors.cuh).
//
// center is the mean and rounding_residue what the mean rounds away, so that y keeps its digits where the mean is large
// beside the deviation. Where x − mean could overflow, center is 0 and rounding_residue is the mean.
#pragma once
#include "epilogue.cuh"
#include "factors.cuh"
#include "loads.cuh"
#include "statistics.cuh"

template <class Compute>
struct Coefficients {
    Compute lift;
    Compute minus_center; // lifted
    Compute scale;
    Compute shift;

    // x − center, lifted.
    DEVICE Compute centred(Compute x) const { return fma(x, lift, minus_center); }
};

// Whether x − mean could overflow.
template <class Compute>
DEVICE bool may_overflow(Compute inv_std) {
    return inv_std * static_cast<Compute>(largest_of(Compute())) < static_cast<Compute>(16);
}

// What the mean has beside center.
template <class Compute>
DEVICE Compute rounding_residue(Statistics<Compute> statistics) {
    return may_overflow(statistics.inv_std) ? statistics.mean + statistics.mean_low : statistics.mean_low;
}

// Read apart from the statistics, which take their time.
template <class Compute>
struct Affine {
    Compute gamma;
    Compute beta;
};

template <class Compute>
DEVICE Affine<Compute> affine_of(const Arguments& a, i64 channel) {
    return Affine<Compute>{
        channel_value<Compute>(a.channel.gamma, channel), channel_value<Compute>(a.channel.beta, channel)};
}

// For those who read them later.
template <class Compute>
DEVICE void prefetch_affine(const Arguments& a, i64 channel) {
    prefetch(static_cast<const Compute*>(a.channel.gamma) + channel);
    prefetch(static_cast<const Compute*>(a.channel.beta) + channel);
}

template <class Compute>
DEVICE Coefficients<Compute> coefficients_of(Affine<Compute> affine, Statistics<Compute> statistics) {
    const Compute center = may_overflow(statistics.inv_std) ? static_cast<Compute>(0) : statistics.mean;
    const TwoFactors<Compute> factors = two_factors(affine.gamma, statistics.inv_std, center);
    return Coefficients<Compute>{
        factors.lift,
        -center * factors.lift,
        factors.rest,
        fma(-rounding_residue(statistics) * factors.lift, factors.rest, affine.beta),
    };
}

// What y of a packet is made from. All of it is read before any of it is used.
template <class T>
struct ForwardPacket {
    Packet<T> x;
    Packet<T> residual; // zero where there is none
};

template <class T, class Place>
DEVICE ForwardPacket<T> with_residual(const Arguments& a, const Place& place, const Packet<T>& x) {
    const bool adds = a.arrays.residual != nullptr;
    return ForwardPacket<T>{x, adds ? load_residual<T>(a, place) : Packet<T>::zero()};
}

// Writes y of a packet, and what is saved for backward. `of_lane(lane)` gives a lane's coefficients.
template <class T, class OfLane, class Place>
DEVICE void write_normalized(const Arguments& a, const ForwardPacket<T>& from, OfLane of_lane, const Place& place) {
    typedef typename T::Compute Compute;
    constexpr int LANES = Packet<T>::LANES;
    Compute v[LANES];
#pragma unroll
    for (int lane = 0; lane < LANES; lane++) {
        const Coefficients<Compute> coefficients = of_lane(lane);
        v[lane] = fma(coefficients.centred(from.x[lane]), coefficients.scale, coefficients.shift);
    }
    if (a.arrays.residual != nullptr) {
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) v[lane] += from.residual[lane];
    }
    store_saved<T>(a, place, v);
    activation_forward(a, v);
    store_out(a, place, Packet<T>::encode(v));
}
