// What a norm's sums say of each group: mean and inverse deviation.
//
// A block has one group of one sample, a warp one channel at a time; all is added up in f64 in an order that is always
// the same. `sums` is [sample][stretch][2][pitch], `statistics` [sample][group][2]. Defined outside: BF16.

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
