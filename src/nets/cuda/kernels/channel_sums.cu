// Sums of a volume's channels over a stretch of voxels: first pass of the gradient of a bias.
//
// `sums` is [sample][stretch][pitch]. Defined outside: BF16.

extern "C" __global__ void __launch_bounds__(256) channel_sums(const Element* __restrict__ volume, float* __restrict__ sums, const Norm g) {
    __shared__ float found[THREADS * PER_GRANULE];
    const Share share(g);
    if (share.used) {
        float all[PER_GRANULE] = {};
#pragma unroll 4
        for (int voxel = share.first; voxel < share.end; voxel += share.rows) {
            Elements<GRANULE> x;
            x.read(volume + share.place(g, voxel));
#pragma unroll
            for (int i = 0; i < PER_GRANULE; ++i) {
                all[i] += f32_from(x.values[i]);
            }
        }
#pragma unroll
        for (int i = 0; i < PER_GRANULE; ++i) {
            found[share.row * g.pitch + share.channel + i] = all[i];
        }
    }
    __syncthreads();
    for (int channel = threadIdx.x; channel < g.pitch; channel += THREADS) {
        float sum = 0.0f;
        for (int row = 0; row < share.rows; ++row) {
            sum += found[row * g.pitch + channel];
        }
        sums[(size_t)(blockIdx.y * gridDim.x + blockIdx.x) * g.pitch + channel] = sum;
    }
}
