// Second pass of the gradient of a bias: adds up a channel's sums over stretches and samples, a warp one channel, in
// f64 and in an order that is always the same.
//
// `sums` is [sample][stretch][pitch]. Defined outside: BF16.

extern "C" __global__ void __launch_bounds__(128) add_channel_sums(const float* __restrict__ sums, float* __restrict__ gradient, const Norm g) {
    const int channel = blockIdx.x * 4 + (threadIdx.x >> 5);
    const int parts = g.samples * ((g.voxels + g.stretch - 1) / g.stretch);
    if (channel >= g.channels) {
        return;
    }
    double sum = 0.0;
    for (int part = threadIdx.x & 31; part < parts; part += 32) {
        sum += sums[(size_t)part * g.pitch + channel];
    }
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    }
    if ((threadIdx.x & 31) == 0) {
        gradient[channel] = (float)sum;
    }
}
