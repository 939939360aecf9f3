// What a norm's sums say of each group: mean and inverse deviation, and on the way back the two means that its
// input's gradient is made of, with the gradients of weight and bias.
//
// A block has one group, a warp one channel at a time; all is added up in f64 in an order that is always the same.
//
// `sums` is [sample][stretch][2][pitch], `statistics` and `means` [sample][group][2]. Defined outside: BF16.

#define MOST_CHANNELS 1024

/// Sums of one channel over all stretches of a sample, in all lanes of a warp.
__device__ __forceinline__ double2 channel_sums(const Norm& g, const float* sums, int sample, int channel, int stretches) {
    double first = 0.0, second = 0.0;
    for (int stretch = threadIdx.x & 31; stretch < stretches; stretch += 32) {
        const float* place = sums + (size_t)(sample * stretches + stretch) * 2 * g.pitch + channel;
        first += place[0];
        second += place[g.pitch];
    }
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        first += __shfl_xor_sync(0xffffffffu, first, distance);
        second += __shfl_xor_sync(0xffffffffu, second, distance);
    }
    return make_double2(first, second);
}

extern "C" __global__ void __launch_bounds__(128) norm_statistics(const Element* __restrict__ volume, const float* __restrict__ sums, float* __restrict__ statistics, const Norm g) {
    __shared__ double means[MOST_CHANNELS], squares[MOST_CHANNELS];
    const int group = blockIdx.x, sample = blockIdx.y;
    const int members = g.channels / g.groups;
    const int stretches = (g.voxels + g.stretch - 1) / g.stretch;
    for (int member = threadIdx.x >> 5; member < members; member += 4) {
        const int channel = group * members + member;
        const double2 found = channel_sums(g, sums, sample, channel, stretches);
        if ((threadIdx.x & 31) == 0) {
            const double distance = found.x / g.voxels;
            means[member] = f32_from(volume[(size_t)sample * g.voxels * g.pitch + channel]) + distance;
            squares[member] = found.y / g.voxels - distance * distance;
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        double mean = 0.0, square = 0.0;
        for (int member = 0; member < members; ++member) {
            mean += means[member] / members;
        }
        for (int member = 0; member < members; ++member) {
            const double distance = means[member] - mean;
            square += (squares[member] + distance * distance) / members;
        }
        float* place = statistics + (sample * g.groups + group) * 2;
        place[0] = (float)mean;
        place[1] = (float)(1.0 / sqrt((square > 0.0 || square != square ? square : 0.0) + g.epsilon));
    }
}

extern "C" __global__ void __launch_bounds__(128) norm_gradient_statistics(const float* __restrict__ sums, const float* __restrict__ weight, float* __restrict__ means, float* __restrict__ weight_gradient, float* __restrict__ bias_gradient, const Norm g) {
    __shared__ double shifts[MOST_CHANNELS], scales[MOST_CHANNELS];
    __shared__ double shift_sums[MOST_CHANNELS], scale_sums[MOST_CHANNELS];
    const int group = blockIdx.x;
    const int members = g.channels / g.groups;
    const int stretches = (g.voxels + g.stretch - 1) / g.stretch;
    for (int sample = 0; sample < g.samples; ++sample) {
        for (int member = threadIdx.x >> 5; member < members; member += 4) {
            const double2 found = channel_sums(g, sums, sample, group * members + member, stretches);
            if ((threadIdx.x & 31) == 0) {
                shifts[member] = found.x;
                scales[member] = found.y;
                shift_sums[member] = (sample == 0 ? 0.0 : shift_sums[member]) + found.x;
                scale_sums[member] = (sample == 0 ? 0.0 : scale_sums[member]) + found.y;
            }
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            double shift = 0.0, scale = 0.0;
            for (int member = 0; member < members; ++member) {
                shift += shifts[member] * weight[group * members + member];
                scale += scales[member] * weight[group * members + member];
            }
            const double count = (double)members * g.voxels;
            means[(sample * g.groups + group) * 2] = (float)(shift / count);
            means[(sample * g.groups + group) * 2 + 1] = (float)(scale / count);
        }
        __syncthreads();
    }
    for (int member = threadIdx.x; member < members; member += 128) {
        bias_gradient[group * members + member] = (float)shift_sums[member];
        weight_gradient[group * members + member] = (float)scale_sums[member];
    }
}
