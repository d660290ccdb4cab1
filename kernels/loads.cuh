// How a packet of an operand is read and written, whatever the walk that leads to it. A walk's place says
//
//     place.at             the packet's first lane, in values from the array's begin
//     place.lanes          which of its lanes are the walk's
//     place.mask_byte(a)   which byte of a mask is the packet's
#pragma once
#include "element.cuh"

DEVICE bool is_aligned(const Arguments& a, Aligned array) {
    return (a.choices.aligned & static_cast<u32>(array)) != 0;
}

// x and dy of the same place.
template <class T>
struct PacketPair {
    Packet<T> x;
    Packet<T> dy;
};

template <class T, Reuse REUSE, class Place>
DEVICE Packet<T> load_x(const Arguments& a, const Place& place) {
    return load<T, REUSE>(a.arrays.x, place.at, place.lanes, is_aligned(a, Aligned::X));
}
template <class T, Reuse REUSE, class Place>
DEVICE Packet<T> load_dy(const Arguments& a, const Place& place) {
    return load<T, REUSE>(a.arrays.dy, place.at, place.lanes, is_aligned(a, Aligned::Dy));
}
template <class T, Reuse REUSE, class Place>
DEVICE PacketPair<T> load_pair(const Arguments& a, const Place& place) {
    return PacketPair<T>{load_x<T, REUSE>(a, place), load_dy<T, REUSE>(a, place)};
}
template <class T, class Place>
DEVICE Packet<T> load_residual(const Arguments& a, const Place& place) {
    return load<T, Reuse::Once>(a.arrays.residual, place.at, place.lanes, is_aligned(a, Aligned::Residual));
}

template <class T, class Place>
DEVICE void store_out(const Arguments& a, const Place& place, const Packet<T>& packet) {
    store<T>(a.arrays.out, place.at, place.lanes, is_aligned(a, Aligned::Out), packet);
}
template <class T, class Place>
DEVICE void store_dresidual(const Arguments& a, const Place& place, const Packet<T>& packet) {
    store<T>(a.arrays.dresidual, place.at, place.lanes, is_aligned(a, Aligned::Dresidual), packet);
}
