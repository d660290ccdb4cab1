// Steps 4 and 5: dγ, dβ and dx from dy.
//
//     dv = dy·activation′(v)
//     dβ = Σ dv,  dγ = Σ dv·x̂,  x̂ = (x − mean)·inv_std
//     dx = γ·inv_std·(dv − dβ/M − x̂·dγ/M)       statistics of the batch
//     dx = γ·inv_std·dv                         statistics that are constants
//
// dx is computed as fma(fma(x − center, projection, dv − mean_gradient), scale, offset).
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
    Compute projection; // −inv_std·dγ/M: how much of dv lies along x̂
    Compute offset;
};

// `sums` are dβ and dγ; where the statistics are constants they do not matter.
template <class Compute>
DEVICE InputCoefficients<Compute> input_coefficients_of(const Arguments& a, i64 channel, Sums sums) {
    const Statistics<Compute> statistics = known_statistics<Compute>(a, channel);
    const Coefficients<Compute> forward = coefficients_of(a, channel, statistics);
    if (a.choices.batch_statistics == 0) return InputCoefficients<Compute>{forward, 0, 0, 0};
    const double dbeta = sums.sum, dgamma = sums.product_sum;
    const double mean_dv = dbeta / a.numbers.count;
    const double projection = -static_cast<double>(statistics.inv_std) * (dgamma / a.numbers.count);
    const Compute mean_gradient = static_cast<Compute>(mean_dv);
    // What rounding mean_gradient, and center, left out.
    const double residue = mean_dv - static_cast<double>(mean_gradient) +
                           projection * static_cast<double>(rounding_residue(statistics));
    return InputCoefficients<Compute>{
        forward,
        mean_gradient,
        static_cast<Compute>(projection),
        static_cast<Compute>(-static_cast<double>(forward.scale) * residue),
    };
}

// dβ and dγ as they stand in memory.
template <class Compute>
DEVICE Sums known_gradients(const Arguments& a, i64 channel) {
    if (a.choices.batch_statistics == 0) return Sums::zero();
    return Sums{
        static_cast<double>(channel_value<Compute>(a.channel.dbeta, channel)),
        static_cast<double>(channel_value<Compute>(a.channel.dgamma, channel)),
    };
}

// From Σ dv and Σ dv·(x − center)·inv_std: takes out what center left in, and writes dβ and dγ.
template <class Compute>
DEVICE Sums finalize_gradients(const Arguments& a, i64 channel, Sums sums, bool writes) {
    const Statistics<Compute> statistics = known_statistics<Compute>(a, channel);
    const double residue = static_cast<double>(rounding_residue(statistics)) * static_cast<double>(statistics.inv_std);
    if (residue != 0.0) sums.product_sum -= residue * sums.sum;
    if (writes) {
        set_channel_value(a.channel.dbeta, channel, static_cast<Compute>(sums.sum));
        set_channel_value(a.channel.dgamma, channel, static_cast<Compute>(sums.product_sum));
    }
    return sums;
}

// dv of one lane; `centred` is x − center.
template <class T>
DEVICE typename T::Compute dv_of(
    const Arguments& a, typename T::Compute dy, typename T::Compute centred, Coefficients<typename T::Compute> forward,
    const SavedPacket<T>& saved, int lane) {
    return activation_backward<T>(a, dy, saved, lane, [&] {
        return a.choices.saved == Saved::PreActivation ? saved.value_of(a, lane)
                                                       : fma(centred, forward.scale, forward.shift);
    });
}

// Adds a packet's terms to lane sums. `of_lane(lane)` gives a lane's ReduceCoefficients.
template <class T, class OfLane>
DEVICE void add_gradients(
    const Arguments& a, Accumulator<T>& accumulator, const PacketPair<T>& pair, OfLane of_lane,
    const SavedPacket<T>& saved, Lanes lanes) {
    each_lane<T>(lanes, [&](int lane) {
        const ReduceCoefficients<typename T::Compute> coefficients = of_lane(lane);
        const typename T::Compute centred = pair.x[lane] - coefficients.forward.center;
        const typename T::Compute dv = dv_of<T>(a, pair.dy[lane], centred, coefficients.forward, saved, lane);
        accumulator.sum[lane] += dv;
        // Multiplied before it is summed: dv·(x − center) can overflow where dv·x̂ cannot.
        accumulator.product_sum[lane] = fma(dv, centred * coefficients.inv_std, accumulator.product_sum[lane]);
    });
}

// Writes dx, and dv as the residual's gradient if asked for. `of_lane(lane)` gives a lane's InputCoefficients.
template <class T, class OfLane, class Place>
DEVICE void write_gradient(const Arguments& a, const PacketPair<T>& pair, OfLane of_lane, const Place& place) {
    typedef typename T::Compute Compute;
    const SavedPacket<T> saved = load_saved<T>(a, place);
    Packet<T> dx = Packet<T>::zero(), dresidual = Packet<T>::zero();
#pragma unroll
    for (int lane = 0; lane < Packet<T>::LANES; lane++) {
        const InputCoefficients<Compute> coefficients = of_lane(lane);
        const Coefficients<Compute> forward = coefficients.forward;
        const Compute centred = pair.x[lane] - forward.center;
        const Compute dv = dv_of<T>(a, pair.dy[lane], centred, forward, saved, lane);
        dresidual.set(lane, dv);
        dx.set(
            lane,
            a.choices.batch_statistics != 0
                ? fma(fma(centred, coefficients.projection, dv - coefficients.mean_gradient), forward.scale,
                      coefficients.offset)
                : dv * forward.scale);
    }
    store_out(a, place, dx);
    if (a.arrays.dresidual != nullptr) store_dresidual(a, place, dresidual);
}

// Whether x must be read for dx.
DEVICE bool needs_x(const Arguments& a) { return a.choices.batch_statistics != 0 || recomputes_v(a); }
