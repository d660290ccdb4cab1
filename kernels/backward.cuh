// Steps 4 and 5: dγ, dβ and dx from dy.
//
//     dv = dy where ReLU let the value through, else 0
//     dβ = Σ dv,  dγ = Σ dv·x̂,  x̂ = (x − mean)·inv_std
//     dx = γ·inv_std·(dv − dβ/M − x̂·dγ/M)       statistics of the batch
//     dx = γ·inv_std·dv                         statistics that are constants
//
// dx is computed as fma(fma(x − center, slope, dv − mean_gradient), scale, offset).
#pragma once
#include "normalize.cuh"

// What the reduction needs of a channel.
template <class Compute>
struct ReduceCoefficients {
    Coefficients<Compute> forward;
    Compute inv_std;
};

template <class Compute>
DEVICE ReduceCoefficients<Compute> reduce_coefficients_of(const Arguments& a, i64 channel) {
    const Statistics<Compute> statistics = known_statistics<Compute>(a, channel);
    return ReduceCoefficients<Compute>{coefficients_of(a, channel, statistics), statistics.inv_std};
}

// What dx needs of a channel.
template <class Compute>
struct InputCoefficients {
    Coefficients<Compute> forward;
    Compute mean_gradient;
    Compute slope;
    Compute offset;
};

// `sums` are dβ and dγ; where the statistics are constants they do not matter.
template <class Compute>
DEVICE InputCoefficients<Compute> input_coefficients_of(const Arguments& a, i64 channel, Sums sums) {
    const Statistics<Compute> statistics = known_statistics<Compute>(a, channel);
    const Coefficients<Compute> forward = coefficients_of(a, channel, statistics);
    if (a.of_batch == 0) return InputCoefficients<Compute>{forward, 0, 0, 0};
    const double mean_beta = sums.first / a.count;
    const double slope = -static_cast<double>(statistics.inv_std) * (sums.second / a.count);
    const Compute mean_gradient = static_cast<Compute>(mean_beta);
    // What rounding mean_gradient, and center, left out.
    const double unsaid = mean_beta - static_cast<double>(mean_gradient) + slope * static_cast<double>(rounding_residue(statistics));
    return InputCoefficients<Compute>{
        forward,
        mean_gradient,
        static_cast<Compute>(slope),
        static_cast<Compute>(-static_cast<double>(forward.scale) * unsaid),
    };
}

// dβ and dγ as they stand in memory.
template <class Compute>
DEVICE Sums known_gradients(const Arguments& a, i64 channel) {
    if (a.of_batch == 0) return Sums::zero();
    return Sums{
        static_cast<double>(channel_value<Compute>(a.sum_beta, channel)),
        static_cast<double>(channel_value<Compute>(a.sum_gamma, channel)),
    };
}

// From Σ dv and Σ dv·(x − center)·inv_std: takes out what center left in, and writes dβ and dγ.
template <class Compute>
DEVICE Sums finalize_gradients(const Arguments& a, i64 channel, Sums sums, bool writes) {
    const Statistics<Compute> statistics = known_statistics<Compute>(a, channel);
    const double rest = static_cast<double>(rounding_residue(statistics)) * static_cast<double>(statistics.inv_std);
    if (rest != 0.0) sums.second -= rest * sums.first;
    if (writes) {
        set_channel_value(a.sum_beta, channel, static_cast<Compute>(sums.first));
        set_channel_value(a.sum_gamma, channel, static_cast<Compute>(sums.second));
    }
    return sums;
}

// dv of one lane. `marks` is the packet's mask byte.
template <class T>
DEVICE typename T::Compute through_gate(
    u32 gate, typename T::Compute dy, typename T::Compute centred, Coefficients<typename T::Compute> k, u32 marks, int lane) {
    bool passes = true;
    // Written so that NaN passes.
    if (gate == RECOMPUTED) passes = !(fma(centred, k.scale, k.shift) <= T::ROUNDS_TO_ZERO);
    if (gate == MARKED) passes = (marks >> lane & 1u) != 0;
    return passes ? dy : static_cast<typename T::Compute>(0);
}

// Adds a packet's terms to lane sums. `of_lane(lane)` gives a lane's ReduceCoefficients.
template <class T, class OfLane>
DEVICE void add_gradients(
    const Arguments& a, Accumulator<T>& accumulator, const Packet<T>& x, const Packet<T>& dy, OfLane of_lane, u32 marks, Lanes lanes) {
    each_lane<T>(lanes, [&](int lane) {
        const ReduceCoefficients<typename T::Compute> k = of_lane(lane);
        const typename T::Compute centred = x[lane] - k.forward.center;
        const typename T::Compute dv = through_gate<T>(a.gate, dy[lane], centred, k.forward, marks, lane);
        accumulator.first[lane] += dv;
        // Multiplied before it is summed: dv·(x − center) can overflow where dv·x̂ cannot.
        accumulator.second[lane] = fma(dv, centred * k.inv_std, accumulator.second[lane]);
    });
}

// Writes dx, and dv as the residual's gradient if asked for. `of_lane(lane)` gives a lane's InputCoefficients.
template <class T, class OfLane>
DEVICE void write_gradient(
    const Arguments& a, const Packet<T>& x, const Packet<T>& dy, OfLane of_lane, u32 marks, i64 at, Lanes lanes) {
    typedef typename T::Compute Compute;
    Packet<T> dx = Packet<T>::zero(), dresidual = Packet<T>::zero();
#pragma unroll
    for (int lane = 0; lane < Packet<T>::LANES; lane++) {
        const InputCoefficients<Compute> k = of_lane(lane);
        const Compute centred = x[lane] - k.forward.center;
        const Compute dv = through_gate<T>(a.gate, dy[lane], centred, k.forward, marks, lane);
        dresidual.set(lane, dv);
        dx.set(
            lane,
            a.of_batch != 0 ? fma(fma(centred, k.slope, dv - k.mean_gradient), k.forward.scale, k.offset)
                            : dv * k.forward.scale);
    }
    store<T>(a.out, at, lanes, (a.aligned & OUT) != 0, dx);
    if (a.dresidual != nullptr) store<T>(a.dresidual, at, lanes, (a.aligned & DRESIDUAL) != 0, dresidual);
}

// Whether x must be read for dx.
DEVICE bool needs_x(const Arguments& a) { return a.of_batch != 0 || a.gate == RECOMPUTED; }
