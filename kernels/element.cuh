// The data types, and the 16-byte packets of them that memory is read and written in.
#pragma once
#include "device.cuh"

DEVICE bool is_finite(double value) { return value - value == 0.0; }

struct f32 {
    typedef float Compute;
    typedef u32 Bits;
    // Values above this are stored above zero; from this on they are stored as 6 or more.
    static constexpr float ROUNDS_TO_ZERO = 0.0f, ROUNDS_TO_SIX = 6.0f;
    // What products with a subnormal value are multiplied by, so that what they lose is not seen in their sum.
    static constexpr double ENLARGES_PRODUCTS = 0x1p32;
    DEVICE static float decode(u32 bits) { return __uint_as_float(bits); }
    DEVICE static u32 encode(float value) { return __float_as_uint(value); }
};

struct f64 {
    typedef double Compute;
    typedef u64 Bits;
    static constexpr double ROUNDS_TO_ZERO = 0.0, ROUNDS_TO_SIX = 6.0;
    // There is no wider type to take sums again in.
    static constexpr double ENLARGES_PRODUCTS = 1.0;
    DEVICE static double decode(u64 bits) { return __longlong_as_double(static_cast<i64>(bits)); }
    DEVICE static u64 encode(double value) { return static_cast<u64>(__double_as_longlong(value)); }
};

struct f16 {
    typedef float Compute;
    typedef u16 Bits;
    // Half the smallest half, and half a step below 6: ties go to zero and to 6.
    static constexpr float ROUNDS_TO_ZERO = 0x1p-25f, ROUNDS_TO_SIX = 6.0f - 0x1p-9f;
    // Its subnormals are no float's.
    static constexpr double ENLARGES_PRODUCTS = 1.0;
    DEVICE static float decode(u16 bits) { return half_to_float(bits); }
    DEVICE static u32 encode(float low, float high) { return floats_to_halves(low, high); }
};

struct bf16 {
    typedef float Compute;
    typedef u16 Bits;
    // As of f16.
    static constexpr float ROUNDS_TO_ZERO = 0x1p-134f, ROUNDS_TO_SIX = 6.0f - 0x1p-6f;
    static constexpr double ENLARGES_PRODUCTS = 0x1p32;
    DEVICE static float decode(u16 bits) { return __uint_as_float(static_cast<u32>(bits) << 16); }
    DEVICE static u32 encode(float low, float high) { return floats_to_bfloats(low, high); }
};

// Values of a packet.
template <class T>
struct Width {
    static_assert(16 % sizeof(typename T::Bits) == 0, "a packet has whole values");
    static constexpr int LANES = 16 / static_cast<int>(sizeof(typename T::Bits));
};

// 16 bytes of values, in registers.
template <class T>
struct Packet {
    typedef typename T::Bits Bits;
    typedef typename T::Compute Compute;
    static constexpr int LANES = Width<T>::LANES;

    u32 word[4];

    // Constants for `lane` keep the words in registers: every loop over lanes is unrolled.
    DEVICE Bits bits(int lane) const {
        if constexpr (sizeof(Bits) == 8)
            return static_cast<u64>(word[2 * lane]) | static_cast<u64>(word[2 * lane + 1]) << 32;
        else if constexpr (sizeof(Bits) == 4)
            return word[lane];
        else
            return static_cast<u16>(word[lane / 2] >> (lane % 2 * 16));
    }
    DEVICE void set_bits(int lane, Bits bits) {
        if constexpr (sizeof(Bits) == 8) {
            word[2 * lane] = static_cast<u32>(bits);
            word[2 * lane + 1] = static_cast<u32>(bits >> 32);
        } else if constexpr (sizeof(Bits) == 4) {
            word[lane] = bits;
        } else {
            const u32 keep = lane % 2 == 0 ? 0xffff0000u : 0x0000ffffu;
            word[lane / 2] = (word[lane / 2] & keep) | static_cast<u32>(bits) << (lane % 2 * 16);
        }
    }
    DEVICE Compute operator[](int lane) const { return T::decode(bits(lane)); }
    // Each value rounded once; 16-bit types two to an instruction, where the GPU has one.
    DEVICE static Packet encode(const Compute (&values)[LANES]) {
        Packet packet = zero();
#pragma unroll
        for (int lane = 0; lane < LANES; lane++)
            if constexpr (sizeof(Bits) > 2)
                packet.set_bits(lane, T::encode(values[lane]));
            else if (lane % 2 == 0)
                packet.word[lane / 2] = T::encode(values[lane], values[lane + 1]);
        return packet;
    }

    DEVICE static Packet zero() { return Packet{{0, 0, 0, 0}}; }
    DEVICE static Packet of(uint4 raw) { return Packet{{raw.x, raw.y, raw.z, raw.w}}; }
    DEVICE uint4 raw() const { return uint4{word[0], word[1], word[2], word[3]}; }
};

static_assert(sizeof(Packet<f16>) == sizeof(uint4), "a packet is what one load brings");

// The lanes of a packet that are values of the channel or row at hand: begin to end.
struct Lanes {
    u8 begin;
    u8 end;

    template <class T>
    DEVICE static Lanes all() {
        return Lanes{0, static_cast<u8>(Width<T>::LANES)};
    }
    DEVICE bool has(int lane) const { return lane >= begin && lane < end; }
    DEVICE u32 count() const { return end > begin ? end - begin : 0; }
    template <class T>
    DEVICE bool full() const {
        return begin == 0 && end == Width<T>::LANES;
    }
};

// The lanes from `begin` on of a packet with `behind` values from its lane 0 to the end of what it is a part of.
template <class T>
DEVICE Lanes lanes_of(int begin, i64 behind) {
    constexpr int LANES = Width<T>::LANES;
    const int end = behind >= LANES ? LANES : behind > 0 ? static_cast<int>(behind) : 0;
    return Lanes{static_cast<u8>(begin), static_cast<u8>(end)};
}

// Calls visit(lane) for each lane, without a question where there are all of them.
template <class T, class Visit>
DEVICE void each_lane(Lanes lanes, Visit visit) {
    if (lanes.full<T>()) {
#pragma unroll
        for (int lane = 0; lane < Width<T>::LANES; lane++) visit(lane);
    } else {
#pragma unroll
        for (int lane = 0; lane < Width<T>::LANES; lane++)
            if (INJECT_FAULT(4, lanes.has(lane), true)) visit(lane);
    }
}

// Whether the caches should keep what is read.
enum class Reuse { Once, Again };

// The packet that begins at value `at`; lanes that are not asked for are zero. `at` may be before the array's begin
// where its first lanes are not asked for.
template <class T, Reuse REUSE>
DEVICE Packet<T> load(const void* array, i64 at, Lanes lanes, bool aligned) {
    typedef typename T::Bits Bits;
    // Never by way of an integer: from that, no compiler tells that it is global memory.
    const Bits* address = static_cast<const Bits*>(array) + at;
    if (aligned && lanes.full<T>()) {
        const uint4* from = reinterpret_cast<const uint4*>(address);
        return Packet<T>::of(REUSE == Reuse::Once ? load_16_once(from) : load_16(from));
    }
    Packet<T> packet = Packet<T>::zero();
#pragma unroll
    for (int lane = 0; lane < Width<T>::LANES; lane++)
        if (lanes.has(lane)) packet.set_bits(lane, address[lane]);
    return packet;
}

// Writes the lanes asked for, past the caches where they are all asked for.
template <class T>
DEVICE void store(void* array, i64 at, Lanes lanes, bool aligned, const Packet<T>& packet) {
    typedef typename T::Bits Bits;
    Bits* address = static_cast<Bits*>(array) + at;
    if (aligned && lanes.full<T>()) {
        store_16_once(reinterpret_cast<uint4*>(address), packet.raw());
        return;
    }
#pragma unroll
    for (int lane = 0; lane < Width<T>::LANES; lane++)
        if (lanes.has(lane)) address[lane] = packet.bits(lane);
}

// One value.
template <class T>
DEVICE typename T::Compute value_at(const void* array, i64 at) {
    return T::decode(static_cast<const typename T::Bits*>(array)[at]);
}

// A value of one channel.
template <class Compute>
DEVICE Compute channel_value(const void* array, i64 channel) {
    return static_cast<const Compute*>(array)[channel];
}
template <class Compute>
DEVICE void set_channel_value(void* array, i64 channel, Compute value) {
    static_cast<Compute*>(array)[channel] = value;
}
