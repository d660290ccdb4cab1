// Places in kernels, for messages.
#pragma once

#include <cstring>
#include <string>

#include "interface.h"

namespace simt {

// Where a block is outside of its kernel.
constexpr Place block_begins = {"block begins", 0};
constexpr Place block_ends = {"block has ended", 0};
// For an error that is in no line.
constexpr Place nowhere = {"", 0};

inline bool same(Place one, Place other) {
    return one.line == other.line && (one.file == other.file || std::strcmp(one.file, other.file) == 0);
}

inline std::string described(Place place) {
    if (place.line == 0) return place.file;
    return std::string("at ") + place.file + ":" + std::to_string(place.line);
}

}  // namespace simt
