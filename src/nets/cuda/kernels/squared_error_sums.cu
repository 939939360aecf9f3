// First pass of a mean squared error: the sum of each block, of every so many'th 16 bytes of channels.

extern "C" __global__ void __launch_bounds__(256) squared_error_sums(const Element* __restrict__ volume, const Element* __restrict__ wanted, float* __restrict__ parts, const Error g) {
    __shared__ double found[THREADS / 32];
    const int across = g.pitch / PER_GRANULE;
    const size_t granules = (size_t)g.voxels * across;
    float sum = 0.0f;
    for (size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x; at < granules; at += (size_t)g.blocks * THREADS) {
        Elements<GRANULE> x, y;
        x.read(volume + at * PER_GRANULE);
        y.read(wanted + at * PER_GRANULE);
#pragma unroll
        for (int i = 0; i < PER_GRANULE; ++i) {
            const float distance = f32_from(x.values[i]) - f32_from(y.values[i]);
            // Padding may hold anything.
            sum += (int)(at % across) * PER_GRANULE + i < g.channels ? distance * distance : 0.0f;
        }
    }
    double all = sum;
    for (int distance = 16; distance > 0; distance /= 2) {
        all += __shfl_xor_sync(0xffffffffu, all, distance);
    }
    if ((threadIdx.x & 31) == 0) {
        found[threadIdx.x >> 5] = all;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int warp = 1; warp < THREADS / 32; ++warp) {
            all += found[warp];
        }
        parts[blockIdx.x] = (float)all;
    }
}
