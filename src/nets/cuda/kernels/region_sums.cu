// First pass over logits and targets for a loss: sums over voxels, by stretch, sample and region, of p g, p^2, g^2
// and the cross-entropy; and of the voxels' weights, which all of these have.
//
// `parts` is [sample][stretch][SUMS]; a block's sums are added up in an order that is always the same.

extern "C" __global__ void __launch_bounds__(256) region_sums(const float* __restrict__ logits, const float* __restrict__ targets, const float* __restrict__ weights, float* __restrict__ parts, const RegionLoss g) {
    __shared__ double found[THREADS / 32][SUMS];
    const int sample = blockIdx.y;
    const int end = min((int)(blockIdx.x + 1) * g.stretch, g.voxels);
    float sums[SUMS] = {};
    for (int voxel = blockIdx.x * g.stretch + threadIdx.x; voxel < end; voxel += THREADS) {
        const float weight = weight_of(g, weights, sample, voxel);
        sums[REGIONS * 4] += weight;
#pragma unroll
        for (int region = 0; region < REGIONS; ++region) {
            const float x = logits[place_of(g.logits, sample, region, voxel)];
            const float target = targets[place_of(g.targets, sample, region, voxel)];
            const float p = probability_of(x);
            sums[region * 4] += weight * (p * target);
            sums[region * 4 + 1] += weight * (p * p);
            sums[region * 4 + 2] += weight * (target * target);
            // The form that neither overflows nor cancels at either end; what is not a number stays so.
            sums[region * 4 + 3] += weight * ((x < 0.0f ? 0.0f : x) - x * target + log1pf(expf(-fabsf(x))));
        }
    }
#pragma unroll
    for (int which = 0; which < SUMS; ++which) {
        double sum = sums[which];
        for (int distance = 16; distance > 0; distance /= 2) {
            sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        }
        if ((threadIdx.x & 31) == 0) {
            found[threadIdx.x >> 5][which] = sum;
        }
    }
    __syncthreads();
    if (threadIdx.x < SUMS) {
        double sum = 0.0;
        for (int warp = 0; warp < THREADS / 32; ++warp) {
            sum += found[warp][threadIdx.x];
        }
        parts[((size_t)sample * gridDim.x + blockIdx.x) * SUMS + threadIdx.x] = (float)sum;
    }
}
