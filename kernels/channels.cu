// Steps on arrays of one value per channel.
#include "running.cuh"

namespace {

// running = (1 − factor)·running + factor·batch, one thread a channel.
template <class T>
DEVICE void update_running(const Arguments& a) {
    typedef typename T::Compute Compute;
    const i64 channel = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (channel < a.channels)
        follow_running<Compute>(
            a, channel, channel_value<Compute>(a.mean, channel), channel_value<Compute>(a.mean_low, channel),
            channel_value<Compute>(a.variance, channel));
}

// inv_std = 1 / sqrt(variance + ε), one thread a channel.
template <class T>
DEVICE void inverse_std(const Arguments& a) {
    typedef typename T::Compute Compute;
    const i64 channel = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (channel < a.channels) {
        const double variance = static_cast<double>(channel_value<Compute>(a.variance, channel));
        set_channel_value(a.inv_std, channel, static_cast<Compute>(1.0 / __dsqrt_rn(variance + a.epsilon)));
    }
}

}  // namespace

#define KERNELS(T)                                                  \
    KERNEL(update_running, T, 256, 2) { update_running<T>(a); }     \
    KERNEL(inverse_std, T, 256, 2) { inverse_std<T>(a); }

KERNELS(f32)
KERNELS(f64)
