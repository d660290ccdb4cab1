// Channels first, planes of 512 bytes and more: a channel is N planes of S neighbouring values, walked packet by packet.
//
// Packets lie at multiples of 16 bytes from the array's begin. Where S is no multiple of a packet, a plane may begin and
// end within one, whose other lanes belong to its neighbours and are left alone; every plane is then given the number of
// packets that the worst placed one has, and the last of some planes has no lanes.
#pragma once
#include "backward.cuh"
#include "grid_reduce.cuh"

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

    // Packets in order of memory, and where planes share packets one byte more for every plane.
    DEVICE i64 mask_byte(const Arguments& a) const {
        constexpr int LANES = Width<T>::LANES;
        return at / LANES + (a.shape.spatial % LANES == 0 ? 0 : (at + lanes.begin) / a.shape.spatial);
    }
};

// One thread's way through a channel, `step` packets at a time.
template <class T>
struct PlaneWalk {
    i64 sample;
    i64 packet;
    i64 step_samples;
    i64 step_packets;

    DEVICE PlaneWalk(const Arguments& a, i64 from, u32 step)
        : sample(from / a.shape.packets),
          packet(from % a.shape.packets),
          step_samples(step / a.shape.packets),
          step_packets(step % a.shape.packets) {}

    DEVICE PlanePlace<T> here(const Arguments& a, i64 channel) const {
        constexpr int LANES = Width<T>::LANES;
        static_assert((LANES & (LANES - 1)) == 0, "a packet's begin is found with a mask");
        const i64 plane = sample * a.shape.channels + channel;
        const i64 begin = plane * a.shape.spatial;
        const int shift = static_cast<int>(begin & (LANES - 1));
        return PlanePlace<T>{
            begin - shift + packet * LANES,
            lanes_of<T>(packet == 0 ? shift : 0, a.shape.spatial + shift - packet * LANES),
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

// Calls use(slot, place, packets...) for every packet of this thread: slot counts from the tile's first. BATCH packets
// are on their way at a time. load(place) and load(slot, place) read what use is given.
template <class T, int BATCH, class Load, class Use>
DEVICE void each_packet(const Arguments& a, const PlaneTile& tile, Load load, Use use) {
    typedef decltype(load(i64(), PlanePlace<T>())) Loaded;
    const u32 threads = blockDim.x;
    const i64 count = tile.end - tile.first;
    PlaneWalk<T> walk(a, tile.first + threadIdx.x, threads);
    for (i64 slot = threadIdx.x; slot < count; slot += static_cast<i64>(BATCH) * threads) {
        Loaded loaded[BATCH];
        PlanePlace<T> places[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            if (slot + static_cast<i64>(i) * threads >= count) break;
            places[i] = walk.here(a, tile.channel);
            loaded[i] = load(slot + static_cast<i64>(i) * threads, places[i]);
            walk.next(a);
        }
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            if (slot + static_cast<i64>(i) * threads >= count) break;
            // The last packet of a plane that lies well has none.
            if (places[i].lanes.count() > 0) use(slot + static_cast<i64>(i) * threads, places[i], loaded[i]);
        }
    }
}

// The sums of a thread's packets about the reference, taken again in f64.
template <class T>
DEVICE Sums sums_in_double(const Arguments& a, const PlaneTile& tile, double reference) {
    Sums sums = Sums::zero();
    each_packet<T, 1>(
        a, tile, [&](i64, const PlanePlace<T>& place) { return load_x<T, Reuse::Again>(a, place); },
        [&](i64, const PlanePlace<T>& place, const Packet<T>& x) {
            each_lane<T>(place.lanes, [&](int lane) { add_value_in_double(sums, x[lane], reference); });
        });
    return sums;
}

// The sums of a tile's x about the channel's reference, in thread 0. keep(slot, x) may keep the packets.
template <class T, Reuse REUSE, class Keep>
DEVICE Sums sum_tile(const Arguments& a, const PlaneTile& tile, Keep keep) {
    typedef typename T::Compute Compute;
    const double reference = reference_of<T>(a, tile.channel);
    Accumulator<T> accumulator = Accumulator<T>::zero();
    Compute pivot = 0;
    i64 count = 0;
    each_packet<T, 4>(
        a, tile, [&](i64, const PlanePlace<T>& place) { return load_x<T, REUSE>(a, place); },
        [&](i64 slot, const PlanePlace<T>& place, const Packet<T>& x) {
            keep(slot, x);
            if (count == 0) {
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
        sums = sums_in_double<T>(a, tile, reference);
    return block_sum(sums);
}

// Normalizes a tile; load(slot, place) gives its packets of x.
template <class T, class Load>
DEVICE void normalize_tile(
    const Arguments& a, const PlaneTile& tile, Coefficients<typename T::Compute> coefficients, Load load) {
    each_packet<T, 4>(a, tile, load, [&](i64, const PlanePlace<T>& place, const Packet<T>& x) {
        write_normalized(a, x, [&](int) { return coefficients; }, place);
    });
}

// Σ dv and Σ dv·x̂ of a tile, in thread 0; keep(slot, place, pair) may keep the packets.
template <class T, Reuse REUSE, class Keep>
DEVICE Sums sum_gradients(
    const Arguments& a, const PlaneTile& tile, ReduceCoefficients<typename T::Compute> coefficients, Keep keep) {
    Accumulator<T> accumulator = Accumulator<T>::zero();
    each_packet<T, 2>(
        a, tile, [&](i64, const PlanePlace<T>& place) { return load_pair<T, REUSE>(a, place); },
        [&](i64 slot, const PlanePlace<T>& place, const PacketPair<T>& pair) {
            keep(slot, place, pair);
            const SavedPacket<T> saved = load_saved<T>(a, place);
            add_gradients(a, accumulator, pair, [&](int) { return coefficients; }, saved, place.lanes);
        });
    return block_sum(accumulator.total());
}

// Writes dx of a tile; load(slot, place) gives its packets of x and dy.
template <class T, class Load>
DEVICE void write_gradients(
    const Arguments& a, const PlaneTile& tile, InputCoefficients<typename T::Compute> coefficients, Load load) {
    each_packet<T, 2>(a, tile, load, [&](i64, const PlanePlace<T>& place, const PacketPair<T>& pair) {
        write_gradient(a, pair, [&](int) { return coefficients; }, place);
    });
}
