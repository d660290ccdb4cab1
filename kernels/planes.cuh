// Channels first, planes of 512 bytes and more: a channel is N planes of S neighbouring values, walked packet by packet.
//
// Packets lie at multiples of 16 bytes from the array's begin. Where S is no multiple of a packet, a plane may begin and
// end within one, whose other lanes belong to its neighbours and are left alone; every plane is then given the number of
// packets that the worst placed one has, and the last of some planes has no lanes.
#pragma once
#include "backward.cuh"
#include "forms.cuh"
#include "grid_sums.cuh"

// Some packets of one channel: first to end, of batch·packets.
struct PlaneTile {
    i64 channel;
    i64 first;
    i64 end;
};

// Where a packet is: loads.cuh.
template <class T>
struct PlanePlace {
    i64 at;
    Lanes lanes;
    u32 plane; // no memory holds 2^32 planes of 512 bytes

    // Packets in order of memory, and where planes share packets one byte more for every plane.
    DEVICE i64 mask_byte(const Arguments& a) const {
        constexpr int LANES = Width<T>::LANES;
        return at / LANES + (a.shape.spatial % LANES == 0 ? 0 : plane);
    }
};

// One thread's way through a channel, `step` packets at a time, wherever planes begin.
template <class T>
struct AnyWalk {
    typedef i64 Index;
    // Whether all lanes of all packets are the channel's.
    static constexpr bool WHOLE = false;

    i64 sample;
    i64 packet;
    i64 step_samples;
    i64 step_packets;

    DEVICE AnyWalk(const Arguments& a, const PlaneTile& tile, u32 step)
        : sample((tile.first + threadIdx.x) / a.shape.packets),
          packet((tile.first + threadIdx.x) % a.shape.packets),
          step_samples(step / a.shape.packets),
          step_packets(step % a.shape.packets) {}

    DEVICE PlanePlace<T> here(const Arguments& a, const PlaneTile& tile) const {
        constexpr int LANES = Width<T>::LANES;
        static_assert((LANES & (LANES - 1)) == 0, "a packet's begin is found with a mask");
        const i64 plane = sample * a.shape.channels + tile.channel;
        const i64 begin = plane * a.shape.spatial;
        const int shift = static_cast<int>(begin & (LANES - 1));
        return PlanePlace<T>{
            begin - shift + packet * LANES,
            lanes_of<T>(packet == 0 ? shift : 0, a.shape.spatial + shift - packet * LANES),
            static_cast<u32>(plane),
        };
    }
    DEVICE void next(const Arguments& a) {
        sample += step_samples;
        packet += step_packets;
        if (packet >= a.shape.packets) {
            packet -= a.shape.packets;
            sample += 1;
        }
    }
};

// The same where every plane is a whole number of packets, and 31 bits count those of the array.
template <class T>
struct WholeWalk {
    typedef u32 Index;
    static constexpr bool WHOLE = true;

    u32 at; // in packets from the array's begin
    u32 packet;
    u32 step_at;
    u32 step_packets;

    DEVICE static bool is_right(const Arguments& a) {
        return a.shape.spatial % Width<T>::LANES == 0 &&
               a.shape.batch * a.shape.channels * a.shape.packets <= 0x7fffffffll;
    }
    DEVICE WholeWalk(const Arguments& a, const PlaneTile& tile, u32 step) {
        const u32 packets = static_cast<u32>(a.shape.packets), channels = static_cast<u32>(a.shape.channels);
        const u32 from = static_cast<u32>(tile.first) + threadIdx.x;
        packet = from % packets;
        at = (from / packets * channels + static_cast<u32>(tile.channel)) * packets + packet;
        step_packets = step % packets;
        step_at = step / packets * channels * packets + step_packets;
    }
    DEVICE PlanePlace<T> here(const Arguments&, const PlaneTile&) const {
        return PlanePlace<T>{static_cast<i64>(at) * Width<T>::LANES, Lanes::all<T>(), 0};
    }
    DEVICE void next(const Arguments& a) {
        const u32 packets = static_cast<u32>(a.shape.packets), channels = static_cast<u32>(a.shape.channels);
        at += step_at;
        packet += step_packets;
        if (packet >= packets) {
            packet -= packets;
            // The planes of the other channels.
            at += (channels - 1) * packets;
        }
    }
};

// The body of a kernel, in the form for the launch. A macro, because a function template is no argument of a function.
#define IN_PLANE_FORM(T, is_plain, operation)     \
    if (!WholeWalk<T>::is_right(a))               \
        operation<T, AnyWalk<T>>(any(a));         \
    else if (!is_plain(a))                        \
        operation<T, WholeWalk<T>>(any(a));       \
    else                                          \
        operation<T, WholeWalk<T>>(plain(a))

// Calls use(slot, place, packets, is_first) for every packet of this thread: slot counts from the tile's first. BATCH
// packets are on their way at a time. load(slot, place) reads what use is given.
template <class T, class Walk, int BATCH, class Load, class Use>
DEVICE void each_packet(const Arguments& a, const PlaneTile& tile, Load load, Use use) {
    typedef typename Walk::Index Index;
    typedef decltype(load(Index(), PlanePlace<T>())) Loaded;
    const u32 threads = blockDim.x;
    const Index count = static_cast<Index>(tile.end - tile.first);
    Walk walk(a, tile, threads);
    Index slot = threadIdx.x;
    const auto batch = [&](auto is_whole_batch) {
        Loaded loaded[BATCH];
        PlanePlace<T> places[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const Index here = slot + static_cast<Index>(i) * threads;
            if (!is_whole_batch.value && here >= count) break;
            places[i] = walk.here(a, tile);
            loaded[i] = load(here, places[i]);
            walk.next(a);
        }
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const Index here = slot + static_cast<Index>(i) * threads;
            if (!is_whole_batch.value && here >= count) break;
            // The last packet of a plane that lies well has none.
            if (places[i].lanes.count() > 0) use(here, places[i], loaded[i], i == 0 && slot == threadIdx.x);
        }
        slot += static_cast<Index>(BATCH) * threads;
    };
    // A batch that is whole asks nothing of each packet.
    if (is_plain_form(a))
        while (slot + static_cast<Index>(BATCH - 1) * threads < count) batch(Constant<true>());
    while (slot < count) batch(Constant<false>());
}

// The sums of a thread's packets about the reference, taken again in f64.
template <class T, class Walk>
DEVICE Sums sums_in_double(const Arguments& a, const PlaneTile& tile, double reference) {
    Sums sums = Sums::zero();
    each_packet<T, Walk, 1>(
        a, tile, [&](auto, const PlanePlace<T>& place) { return load_x<T, Reuse::Again>(a, place); },
        [&](auto, const PlanePlace<T>& place, const Packet<T>& x, bool) {
            each_lane<T>(place.lanes, [&](int lane) { add_value_in_double(sums, x[lane], reference); });
        });
    return sums;
}

// The sums of a tile's x about the channel's reference, in thread 0. load(slot, place) gives the packets; keep(slot, x) may keep
// them.
template <class T, class Walk, class Load, class Keep>
DEVICE Sums sum_tile(const Arguments& a, const PlaneTile& tile, double reference, Load load, Keep keep) {
    typedef typename T::Compute Compute;
    Accumulator<T> accumulator = Accumulator<T>::zero();
    Compute pivot = 0;
    typename Walk::Index count = 0;
    each_packet<T, Walk, 4>(
        a, tile, load, [&](auto slot, const PlanePlace<T>& place, const Packet<T>& x, bool is_first) {
            keep(slot, x);
            if (Walk::WHOLE ? is_first : count == 0) {
#pragma unroll
                for (int lane = Packet<T>::LANES - 1; lane >= 0; lane--)
                    if (place.lanes.has(lane)) pivot = finite_or_zero(x[lane]);
            }
            each_lane<T>(place.lanes, [&](int lane) { add_value(accumulator, lane, x[lane], pivot); });
            count += place.lanes.count();
        });
    const Sums total = accumulator.total();
    Sums sums = rebase(total, static_cast<double>(count), static_cast<double>(pivot), reference);
    if (sizeof(Compute) == 4 && out_of_range(static_cast<float>(total.sum), static_cast<float>(total.product_sum)))
        sums = sums_in_double<T, Walk>(a, tile, reference);
    return block_sum(sums);
}

// When the residual of a packet is read.
enum class Residual {
    WithX,  // as many on their way as packets of x
    AtUse,  // where there are no registers for it to wait in
};

// Normalizes a tile; load(slot, place) gives its packets of x.
template <class T, class Walk, Residual RESIDUAL, class Load>
DEVICE void normalize_tile(
    const Arguments& a, const PlaneTile& tile, Coefficients<typename T::Compute> coefficients, Load load) {
    // Where planes begin anywhere, their places take those registers.
    constexpr bool WITH_X = Walk::WHOLE && RESIDUAL == Residual::WithX;
    each_packet<T, Walk, Walk::WHOLE ? 4 : 2>(
        a, tile,
        [&](auto slot, const PlanePlace<T>& place) {
            const Packet<T> x = load(slot, place);
            return WITH_X ? with_residual(a, place, x) : ForwardPacket<T>{x, Packet<T>::zero()};
        },
        [&](auto, const PlanePlace<T>& place, const ForwardPacket<T>& from, bool) {
            write_normalized(
                a, WITH_X ? from : with_residual(a, place, from.x), [&](int) { return coefficients; }, place);
        });
}

// Σ dv and Σ dv·x̂ of a thread's packets, taken again in f64.
template <class T, class Walk>
DEVICE Sums gradients_in_double(
    const Arguments& a, const PlaneTile& tile, ReduceCoefficients<typename T::Compute> coefficients) {
    Sums sums = Sums::zero();
    each_packet<T, Walk, 1>(
        a, tile,
        [&](auto, const PlanePlace<T>& place) { return with_saved(a, place, load_pair<T, Reuse::Again>(a, place)); },
        [&](auto, const PlanePlace<T>& place, const BackwardPacket<T>& from, bool) {
            add_gradients_in_double(
                a, sums, from, [&](int) { return coefficients; }, [&](int lane) { return place.lanes.has(lane); });
        });
    return sums;
}

// Σ dv and Σ dv·x̂ of a tile, in thread 0. load(slot, place) gives the packets, which keep(slot, packets) may keep;
// write(place, gradients) may write what follows from them.
template <class T, class Walk, class Load, class Keep, class Write>
DEVICE Sums sum_gradients(
    const Arguments& a, const PlaneTile& tile, ReduceCoefficients<typename T::Compute> coefficients, Load load, Keep keep,
    Write write) {
    Accumulator<T> accumulator = Accumulator<T>::zero();
    each_packet<T, Walk, 2>(
        a, tile,
        [&](auto slot, const PlanePlace<T>& place) { return with_saved(a, place, load(slot, place)); },
        [&](auto slot, const PlanePlace<T>& place, const BackwardPacket<T>& from, bool) {
            keep(slot, from.pair);
            const Gradients<T> gradients = gradients_of(a, from, [&](int) { return coefficients.forward; });
            add_gradients<T>(accumulator, gradients, [&](int) { return coefficients; }, place.lanes);
            write(place, gradients);
        });
    Sums sums = accumulator.total();
    if (must_retake<T>(a, sums)) sums = gradients_in_double<T, Walk>(a, tile, coefficients);
    return block_sum(sums);
}

// Writes dx of a tile; load(slot, place) gives its packets of x and dy.
template <class T, class Walk, class Load>
DEVICE void write_gradients(
    const Arguments& a, const PlaneTile& tile, InputCoefficients<typename T::Compute> coefficients, Load load) {
    each_packet<T, Walk, 2>(
        a, tile, [&](auto slot, const PlanePlace<T>& place) { return with_saved(a, place, load(slot, place)); },
        [&](auto, const PlanePlace<T>& place, const BackwardPacket<T>& from, bool) {
            write_gradient(a, from, [&](int) { return coefficients; }, place);
        });
}
