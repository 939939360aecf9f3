// Second pass of a mean squared error: one warp adds up the blocks' sums, always in the same order.

extern "C" __global__ void __launch_bounds__(32) squared_error(const float* __restrict__ parts, float* __restrict__ mean, const Error g) {
    double all = 0.0;
    for (int at = threadIdx.x; at < g.blocks; at += 32) {
        all += parts[at];
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        all += __shfl_xor_sync(0xffffffffu, all, distance);
    }
    if (threadIdx.x == 0) {
        mean[0] = (float)(all / ((double)g.voxels * g.channels));
    }
}
