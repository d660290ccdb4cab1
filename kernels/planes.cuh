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

// Where a packet is.
struct PlanePlace {
    i64 at; // its first lane, in values from the array's begin
    Lanes lanes;
};

// A packet's mask byte: packets in order of memory, and where planes share packets one more for every plane.
template <class T>
DEVICE i64 mask_place(const Arguments& a, const PlanePlace& place) {
    constexpr int LANES = Width<T>::LANES;
    return place.at / LANES + (a.spatial % LANES == 0 ? 0 : (place.at + place.lanes.begin) / a.spatial);
}

template <class T>
DEVICE u32 marks_at(const Arguments& a, const PlanePlace& place) {
    return a.gate == MARKED ? a.mask[mask_place<T>(a, place)] : 0;
}

// One thread's way through a channel, `step` packets at a time.
template <class T>
struct PlaneWalk {
    i64 sample;
    i64 packet;
    i64 step_samples;
    i64 step_packets;

    DEVICE PlaneWalk(const Arguments& a, i64 from, u32 step)
        : sample(from / a.packets),
          packet(from % a.packets),
          step_samples(step / a.packets),
          step_packets(step % a.packets) {}

    DEVICE PlanePlace here(const Arguments& a, i64 channel) const {
        constexpr int LANES = Width<T>::LANES;
        const i64 plane = sample * a.channels + channel;
        const i64 begin = plane * a.spatial;
        const int shift = static_cast<int>(begin & (LANES - 1));
        return PlanePlace{
            begin - shift + packet * LANES,
            lanes_of<T>(packet == 0 ? shift : 0, a.spatial + shift - packet * LANES),
        };
    }
    DEVICE void next(const Arguments& a) {
        sample += step_samples;
        packet += step_packets;
        if (packet >= a.packets) {
            packet -= a.packets;
            sample += 1;
        }
    }
};

// Calls use(slot, place, packets...) for every packet of this thread: slot counts from the tile's first. BATCH packets
// are on their way at a time. load(place) and load(slot, place) read what use is given.
template <class T, int BATCH, class Load, class Use>
DEVICE void each_packet(const Arguments& a, const PlaneTile& tile, Load load, Use use) {
    typedef decltype(load(i64(), PlanePlace())) Loaded;
    const u32 threads = blockDim.x;
    const i64 count = tile.end - tile.first;
    PlaneWalk<T> walk(a, tile.first + threadIdx.x, threads);
    for (i64 slot = threadIdx.x; slot < count; slot += static_cast<i64>(BATCH) * threads) {
        Loaded loaded[BATCH];
        PlanePlace places[BATCH];
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

// x and dy of the same places.
template <class T>
struct PacketPair {
    Packet<T> x;
    Packet<T> dy;
};

template <class T, Reuse REUSE>
DEVICE Packet<T> load_x(const Arguments& a, const PlanePlace& place) {
    return load<T, REUSE>(a.x, place.at, place.lanes, (a.aligned & X) != 0);
}
template <class T, Reuse REUSE>
DEVICE Packet<T> load_dy(const Arguments& a, const PlanePlace& place) {
    return load<T, REUSE>(a.dy, place.at, place.lanes, (a.aligned & DY) != 0);
}

// The sums of a thread's packets about r, taken again in f64.
template <class T>
DEVICE Sums sums_in_double(const Arguments& a, const PlaneTile& tile, double r) {
    Sums sums = Sums::zero();
    each_packet<T, 1>(
        a, tile, [&](i64, const PlanePlace& place) { return load_x<T, Reuse::Again>(a, place); },
        [&](i64, const PlanePlace& place, const Packet<T>& x) {
            each_lane<T>(place.lanes, [&](int lane) {
                const double difference = static_cast<double>(x[lane]) - r;
                sums.add(Sums{difference, difference * difference});
            });
        });
    return sums;
}

// The sums of a tile's x about r, in thread 0. keep(slot, x) may keep the packets.
template <class T, Reuse REUSE, class Keep>
DEVICE Sums sum_tile(const Arguments& a, const PlaneTile& tile, Keep keep) {
    typedef typename T::Compute Compute;
    const double r = reference_of<T>(a, tile.channel);
    Accumulator<T> accumulator = Accumulator<T>::zero();
    Compute k = 0;
    i64 count = 0;
    each_packet<T, 4>(
        a, tile, [&](i64, const PlanePlace& place) { return load_x<T, REUSE>(a, place); },
        [&](i64 slot, const PlanePlace& place, const Packet<T>& x) {
            keep(slot, x);
            if (count == 0) {
#pragma unroll
                for (int lane = Packet<T>::LANES - 1; lane >= 0; lane--)
                    if (place.lanes.has(lane)) k = finite_or_zero(x[lane]);
            }
            each_lane<T>(place.lanes, [&](int lane) { add_value(accumulator, lane, x[lane], k); });
            count += place.lanes.count();
        });
    const Sums total = accumulator.total();
    Sums sums = rebase(total, static_cast<double>(count), static_cast<double>(k), r);
    if (sizeof(Compute) == 4 && overflowed(static_cast<float>(total.first), static_cast<float>(total.second)))
        sums = sums_in_double<T>(a, tile, r);
    return block_sum(sums);
}

// Normalizes a tile; load(slot, place) gives its packets of x.
template <class T, class Load>
DEVICE void normalize_tile(
    const Arguments& a, const PlaneTile& tile, Coefficients<typename T::Compute> coefficients, Load load) {
    each_packet<T, 4>(a, tile, load, [&](i64, const PlanePlace& place, const Packet<T>& x) {
        const u32 marks = write_normalized<T>(a, x, [&](int) { return coefficients; }, place.at, place.lanes);
        if (a.mask != nullptr) a.mask[mask_place<T>(a, place)] = static_cast<u8>(marks);
    });
}

// Σ dv and Σ dv·x̂ of a tile, in thread 0; keep(slot, place, pair) may keep the packets.
template <class T, Reuse REUSE, class Keep>
DEVICE Sums sum_gradients(
    const Arguments& a, const PlaneTile& tile, ReduceCoefficients<typename T::Compute> coefficients, Keep keep) {
    Accumulator<T> accumulator = Accumulator<T>::zero();
    each_packet<T, 2>(
        a, tile,
        [&](i64, const PlanePlace& place) {
            return PacketPair<T>{load_x<T, REUSE>(a, place), load_dy<T, REUSE>(a, place)};
        },
        [&](i64 slot, const PlanePlace& place, const PacketPair<T>& pair) {
            keep(slot, place, pair);
            const u32 marks = marks_at<T>(a, place);
            add_gradients<T>(a, accumulator, pair.x, pair.dy, [&](int) { return coefficients; }, marks, place.lanes);
        });
    return block_sum(accumulator.total());
}

// Writes dx of a tile; load(slot, place) gives its packets of x and dy.
template <class T, class Load>
DEVICE void write_gradients(
    const Arguments& a, const PlaneTile& tile, InputCoefficients<typename T::Compute> coefficients, Load load) {
    each_packet<T, 2>(a, tile, load, [&](i64, const PlanePlace& place, const PacketPair<T>& pair) {
        const u32 marks = marks_at<T>(a, place);
        write_gradient<T>(a, pair.x, pair.dy, [&](int) { return coefficients; }, marks, place.at, place.lanes);
    });
}
