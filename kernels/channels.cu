// Steps on arrays of one value per channel.
#include "factors.cuh"
#include "merge.cuh"
#include "running.cuh"

namespace {

// running = (1 − factor)·running + factor·batch, one thread a channel.
template <class T>
DEVICE void channels_update_running(const Arguments& a) {
    typedef typename T::Compute Compute;
    const i64 channel = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (channel < a.shape.channels)
        update_running<Compute>(
            a, channel, channel_value<Compute>(a.channel.mean, channel),
            channel_value<Compute>(a.channel.mean_low, channel), channel_value<Compute>(a.channel.variance, channel),
            channel_value<Compute>(a.channel.inv_std, channel));
}

// inv_std = 1 / sqrt(variance + ε), one thread a channel.
template <class T>
DEVICE void channels_inverse_std(const Arguments& a) {
    typedef typename T::Compute Compute;
    const i64 channel = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (channel < a.shape.channels) {
        const double variance = static_cast<double>(channel_value<Compute>(a.channel.variance, channel));
        set_channel_value(a.channel.inv_std, channel, inverse_std<Compute>(variance, a.numbers.epsilon));
    }
}

// The statistics of the whole batch of those of its parts.
template <class T>
DEVICE void channels_merge_statistics(const Arguments& a) {
    each_channel_with_room(a, [&](i64 channel, const PartialRoom& partials) {
        merge_statistics<typename T::Compute>(a, channel, partials);
    });
}

// Likewise dγ and dβ.
template <class T>
DEVICE void channels_merge_gradients(const Arguments& a) {
    each_channel_with_room(a, [&](i64 channel, const PartialRoom& partials) {
        merge_gradients<typename T::Compute>(a, channel, partials);
    });
}

}  // namespace

#define KERNELS(T)                                                                    \
    KERNEL(channels_update_running, T, 256, 2) { channels_update_running<T>(a); }     \
    KERNEL(channels_inverse_std, T, 256, 2) { channels_inverse_std<T>(a); }           \
    KERNEL(channels_merge_statistics, T, 256, 2) { channels_merge_statistics<T>(a); } \
    KERNEL(channels_merge_gradients, T, 256, 2) { channels_merge_gradients<T>(a); }

KERNELS(f32)
KERNELS(f64)
