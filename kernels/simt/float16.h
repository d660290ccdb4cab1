// The device's conversions of 16-bit floating point values, in integers.
#pragma once

#include "interface.h"

namespace simt {

template <class To, class From>
inline To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "the same bits need as many bytes");
    To to;
    __builtin_memcpy(&to, &from, sizeof(to));
    return to;
}

inline float half_to_float(u16 half) {
    u32 sign = static_cast<u32>(half & 0x8000) << 16;
    u32 magnitude = half & 0x7fff;
    // Subnormal: as many units of 2^-24.
    if (magnitude < 0x0400) return same_bits<float>(sign | same_bits<u32>(static_cast<float>(magnitude) * 0x1p-24f));
    u32 exponents_apart = magnitude < 0x7c00 ? (127 - 15) << 23 : (255 - 31) << 23;
    u32 quiet = magnitude > 0x7c00 ? 0x00400000 : 0;
    return same_bits<float>(sign | ((magnitude << 13) + exponents_apart) | quiet);
}

inline u16 float_to_half(float value) {
    u32 bits = same_bits<u32>(value);
    u32 sign = bits >> 16 & 0x8000;
    u32 magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return 0x7fff;
    // Half way from the largest finite half to the next power of two, and above.
    if (magnitude >= 0x477ff000) return static_cast<u16>(sign | 0x7c00);
    if (magnitude < 0x38800000) {
        // Below the smallest normal half: adding 1/2 leaves a half's unit, 2^-24, as the last bit, and rounds.
        u32 sum = same_bits<u32>(same_bits<float>(magnitude) + 0.5f);
        return static_cast<u16>(sign | (sum - 0x3f000000));
    }
    u32 rounded = magnitude + 0x0fff + (magnitude >> 13 & 1);
    return static_cast<u16>(sign | ((rounded >> 13) - ((127 - 15) << 10)));
}

inline u16 float_to_bfloat(float value) {
    u32 bits = same_bits<u32>(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return static_cast<u16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace simt
