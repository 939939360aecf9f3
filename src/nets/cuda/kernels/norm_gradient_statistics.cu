// What the sums of a norm's way back say of each group: the two means that its input's gradient is made of, and the
// gradients of weight and bias.
//
// A block has one group of all samples, a warp one channel at a time; all is added up in f64 in an order that is always
// the same. `sums` is [sample][stretch][2][pitch], `means` [sample][group][2]. Defined outside: BF16.

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
