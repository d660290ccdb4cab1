// What is written to a block's rows, by columns.
#pragma once
#include "column_sums.cuh"

// Normalizes the tile's rows; load(row, place) gives the packets.
template <class T, Order ORDER, class Load>
DEVICE void normalize_rows(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile,
    const Coefficients<typename T::Compute>* of_channel, Load load) {
    Coefficients<typename T::Compute> coefficients[Width<T>::LANES];
    column.read_coefficients(a, of_channel, coefficients);
    each_row<T, 4, ORDER>(
        a, column, tile, [&](u32 row, const ColumnPlace<T>& place) { return with_residual(a, place, load(row, place)); },
        [&](u32, const ColumnPlace<T>& place, const ForwardPacket<T>& from) {
            write_normalized(a, from, [&](int lane) { return coefficients[lane]; }, place);
        });
}

// Writes dx of the tile's rows; load(row, place) gives the packets.
template <class T, Order ORDER, class Load>
DEVICE void write_row_gradients(
    const Arguments& a, const Column<T>& column, const ColumnTile& tile,
    const InputCoefficients<typename T::Compute>* of_channel, Load load) {
    static_assert(
        sizeof(*of_channel) == COEFFICIENTS * sizeof(typename T::Compute), "the plan has room for so many of a channel");
    InputCoefficients<typename T::Compute> coefficients[Width<T>::LANES];
    column.read_coefficients(a, of_channel, coefficients);
    each_row<T, 2, ORDER>(
        a, column, tile, [&](u32 row, const ColumnPlace<T>& place) { return with_saved(a, place, load(row, place)); },
        [&](u32, const ColumnPlace<T>& place, const BackwardPacket<T>& from) {
            write_gradient(a, from, [&](int lane) { return coefficients[lane]; }, place);
        });
}
