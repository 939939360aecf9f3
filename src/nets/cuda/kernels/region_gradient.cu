// Gradient of a loss in its logits, `[b, d, h, w, REGIONS]`; a thread has a voxel.
//
// `slopes` is what `region_scores` has found, `slope` the gradient of the total.

extern "C" __global__ void __launch_bounds__(256) region_gradient(const float* __restrict__ logits, const float* __restrict__ targets, const float* __restrict__ weights, const float* __restrict__ slopes, const float* __restrict__ slope, float* __restrict__ gradient, const RegionLoss g) {
    const int voxel = blockIdx.x * THREADS + threadIdx.x, sample = blockIdx.y;
    if (voxel >= g.voxels) {
        return;
    }
    const float above = slope[0] * weight_of(g, weights, sample, voxel);
    const float entropy = slopes[g.samples * REGIONS * 2];
    float* place = gradient + ((size_t)sample * g.voxels + voxel) * g.pitch;
#pragma unroll
    for (int region = 0; region < REGIONS; ++region) {
        const float p = probability_of(logits[place_of(g.logits, sample, region, voxel)]);
        const float target = targets[place_of(g.targets, sample, region, voxel)];
        const float* of_region = slopes + (sample * REGIONS + region) * 2;
        const float of_dice = (of_region[1] * p - of_region[0] * target) * (p * (1.0f - p));
        place[region] = above * (of_dice + entropy * (p - target));
    }
}
