// Steps 4 and 5: dγ, dβ and dx from dy.
//
//     dv = dy·activation′(v)
//     dβ = Σ dv,  dγ = Σ dv·x̂,  x̂ = (x − mean)·inv_std
//     dx = γ·inv_std·(dv − dβ/M − x̂·dγ/M)       statistics of the batch
//     dx = γ·inv_std·dv                         statistics that are constants
//
// dx is computed as fma(fma(x − center, projection, dv − mean_gradient), scale, offset), with x − center and dv − mean_gradient
// lifted as in step 3.
#pragma once
#include "normalize.cuh"

// Whether the sums of a thread can be taken again in f64 where they are out of range: f64 is no wider than itself, sums of f16
// are in range, and what dx was written over is gone.
template <class T>
DEVICE bool can_retake(const Arguments& a) {
    const bool overwrites_dy = a.choices.batch_statistics == 0 && a.arrays.out == a.arrays.dy;
    return T::ENLARGES_PRODUCTS > 1.0 && !overwrites_dy;
}

// What the products dv·x̂ are multiplied by on their way into their sum, a power of two: of subnormal dv they would lose bits, or
// vanish. Where that overflows, sums are taken again in f64.
template <class T>
DEVICE double enlargement_of(const Arguments& a, typename T::Compute inv_std) {
    const double enlarged = static_cast<double>(inv_std) * T::ENLARGES_PRODUCTS;
    return can_retake<T>(a) && enlarged <= largest_of(inv_std) ? T::ENLARGES_PRODUCTS : 1.0;
}

// What the reduction needs of a channel.
template <class Compute>
struct ReduceCoefficients {
    Coefficients<Compute> forward;
    Compute inv_std; // what the lift leaves of it, enlarged
};

template <class T>
DEVICE ReduceCoefficients<typename T::Compute> reduce_coefficients_of(const Arguments& a, i64 channel) {
    typedef typename T::Compute Compute;
    const Statistics<Compute> statistics = known_statistics<Compute>(a, channel);
    const Coefficients<Compute> forward = coefficients_of(affine_of<Compute>(a, channel), statistics);
    const double left = static_cast<double>(statistics.inv_std) / static_cast<double>(forward.lift);
    return ReduceCoefficients<Compute>{
        forward, static_cast<Compute>(left * enlargement_of<T>(a, statistics.inv_std))};
}

// What dx needs of a channel.
template <class Compute>
struct InputCoefficients {
    Coefficients<Compute> forward;
    Compute minus_mean_gradient; // lifted
    Compute projection; // −inv_std·dγ/M: how much of dv lies along x̂
    Compute offset;
};

// `sums` are dβ and dγ; where the statistics are constants they do not matter.
template <class Compute>
DEVICE InputCoefficients<Compute> input_coefficients_of(const Arguments& a, i64 channel, Sums sums) {
    const Statistics<Compute> statistics = known_statistics<Compute>(a, channel);
    const Coefficients<Compute> forward = coefficients_of(affine_of<Compute>(a, channel), statistics);
    if (a.choices.batch_statistics == 0) return InputCoefficients<Compute>{forward, 0, 0, 0};
    const double dbeta = sums.sum, dgamma = sums.product_sum;
    const double mean_dv = dbeta / a.numbers.count;
    const double projection = -static_cast<double>(statistics.inv_std) * (dgamma / a.numbers.count);
    const Compute mean_gradient = static_cast<Compute>(mean_dv);
    const double lift = static_cast<double>(forward.lift), scale = static_cast<double>(forward.scale);
    // What rounding mean_gradient, and center, left out.
    const double residue = mean_dv - static_cast<double>(mean_gradient) +
                           projection * static_cast<double>(rounding_residue(statistics));
    return InputCoefficients<Compute>{
        forward,
        finite_factor<Compute>(-static_cast<double>(mean_gradient) * lift, mean_gradient, lift),
        static_cast<Compute>(projection),
        finite_factor<Compute>(-scale * (residue * lift), scale, residue),
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

// From Σ dv and Σ dv·(x − center)·inv_std, enlarged: takes out what center left in, and writes dβ and dγ.
template <class T>
DEVICE Sums finalize_gradients(const Arguments& a, i64 channel, Sums sums, bool writes) {
    typedef typename T::Compute Compute;
    const Statistics<Compute> statistics = known_statistics<Compute>(a, channel);
    sums.product_sum /= enlargement_of<T>(a, statistics.inv_std);
    const double residue = static_cast<double>(rounding_residue(statistics)) * static_cast<double>(statistics.inv_std);
    if (residue != 0.0) sums.product_sum -= residue * sums.sum;
    if (writes) {
        set_channel_value(a.channel.dbeta, channel, static_cast<Compute>(sums.sum));
        set_channel_value(a.channel.dgamma, channel, static_cast<Compute>(sums.product_sum));
    }
    return sums;
}

// What dv of a packet is made from. All of it is read before any of it is used.
template <class T>
struct BackwardPacket {
    PacketPair<T> pair;
    SavedPacket<T> saved;
};

template <class T, class Place>
DEVICE BackwardPacket<T> with_saved(const Arguments& a, const Place& place, const PacketPair<T>& pair) {
    return BackwardPacket<T>{pair, load_saved<T>(a, place)};
}

// dv of a packet, and its x − center, lifted.
template <class T>
struct Gradients {
    typename T::Compute dv[Width<T>::LANES];
    typename T::Compute centred[Width<T>::LANES];
};

// `forward_of(lane)` gives a lane's Coefficients.
template <class T, class ForwardOf>
DEVICE Gradients<T> gradients_of(const Arguments& a, const BackwardPacket<T>& from, ForwardOf forward_of) {
    Gradients<T> of;
#pragma unroll
    for (int lane = 0; lane < Width<T>::LANES; lane++) {
        of.dv[lane] = from.pair.dy[lane];
        of.centred[lane] = forward_of(lane).centred(from.pair.x[lane]);
    }
    activation_backward<T>(a, of.dv, from.saved, [&](int lane) {
        return a.choices.saved == Saved::PreActivation
                   ? from.saved.value_of(a, lane)
                   : fma(of.centred[lane], forward_of(lane).scale, forward_of(lane).shift);
    });
    return of;
}

// Adds a packet's terms to lane sums. `of_lane(lane)` gives a lane's ReduceCoefficients.
template <class T, class OfLane>
DEVICE void add_gradients(Accumulator<T>& accumulator, const Gradients<T>& gradients, OfLane of_lane, Lanes lanes) {
    each_lane<T>(lanes, [&](int lane) {
        const typename T::Compute dv = gradients.dv[lane];
        accumulator.sum[lane] += dv;
        // Multiplied before it is summed: dv·(x − center) can overflow where dv·x̂ cannot.
        accumulator.product_sum[lane] =
            fma(dv, gradients.centred[lane] * of_lane(lane).inv_std, accumulator.product_sum[lane]);
    });
}

// Whether a thread's sum has overflowed, or had NaN or infinity to add.
template <class T>
DEVICE bool must_retake(const Arguments& a, Sums sums) {
    return can_retake<T>(a) && !(is_finite(sums.sum) && is_finite(sums.product_sum));
}

// Adds a packet's terms in f64, of the lanes that are asked for.
template <class T, class OfLane, class IsAskedFor>
DEVICE void add_gradients_in_double(
    const Arguments& a, Sums& sums, const BackwardPacket<T>& from, OfLane of_lane, IsAskedFor is_asked_for) {
    const Gradients<T> gradients = gradients_of(a, from, [&](int lane) { return of_lane(lane).forward; });
#pragma unroll
    for (int lane = 0; lane < Width<T>::LANES; lane++) {
        if (!is_asked_for(lane)) continue;
        const double dv = static_cast<double>(gradients.dv[lane]);
        const double x_hat = static_cast<double>(gradients.centred[lane]) * static_cast<double>(of_lane(lane).inv_std);
        sums.add(Sums{dv, dv * x_hat});
    }
}

// Writes dx where the statistics are constants, and dv as the residual's gradient if asked for. `forward_of(lane)` gives a
// lane's Coefficients.
template <class T, class ForwardOf, class Place>
DEVICE void write_constant_gradient(
    const Arguments& a, const Gradients<T>& gradients, ForwardOf forward_of, const Place& place) {
    typename T::Compute dx[Width<T>::LANES];
    if (a.arrays.dresidual != nullptr) store_dresidual(a, place, Packet<T>::encode(gradients.dv));
#pragma unroll
    for (int lane = 0; lane < Width<T>::LANES; lane++)
        dx[lane] = gradients.dv[lane] * forward_of(lane).lift * forward_of(lane).scale;
    store_out(a, place, Packet<T>::encode(dx));
}

// Writes dx, and dv as the residual's gradient if asked for. `of_lane(lane)` gives a lane's InputCoefficients.
template <class T, class OfLane, class Place>
DEVICE void write_gradient(const Arguments& a, const BackwardPacket<T>& from, OfLane of_lane, const Place& place) {
    typedef typename T::Compute Compute;
    const auto forward_of = [&](int lane) { return of_lane(lane).forward; };
    const Gradients<T> gradients = gradients_of(a, from, forward_of);
    if (a.choices.batch_statistics == 0) {
        write_constant_gradient(a, gradients, forward_of, place);
        return;
    }
    Compute dx[Width<T>::LANES];
    if (a.arrays.dresidual != nullptr) store_dresidual(a, place, Packet<T>::encode(gradients.dv));
#pragma unroll
    for (int lane = 0; lane < Width<T>::LANES; lane++) {
        const InputCoefficients<Compute> of = of_lane(lane);
        const Compute less_mean = fma(gradients.dv[lane], of.forward.lift, of.minus_mean_gradient);
        dx[lane] = fma(fma(gradients.centred[lane], of.projection, less_mean), of.forward.scale, of.offset);
    }
    store_out(a, place, Packet<T>::encode(dx));
}

// Whether x must be read for dx.
DEVICE bool needs_x(const Arguments& a) { return a.choices.batch_statistics != 0 || recomputes_v(a); }
