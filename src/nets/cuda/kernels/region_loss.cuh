// Soft Dice with squared denominators and binary cross-entropy over REGIONS overlapping regions (train/loss.rs).
//
// Logits, targets and weights are f32 in any layout whose voxels are equally far apart. Defined outside: REGIONS, 1 to 8;
// COUNTED, 1 where voxels have weights, which are one otherwise.

#define THREADS 256
// Sums of a stretch: four of each region, and the weight of its voxels.
#define SUMS (REGIONS * 4 + 1)

/// All fields are 4 bytes.
struct RegionLoss {
    int samples, voxels;
    int stretch;    // voxels of a block
    int logits[3];  // elements from sample to sample, region to region, voxel to voxel
    int targets[3];
    int weights[3]; // of which a voxel has one
    int pitch;      // of the gradient, [b, d, h, w, REGIONS]
    int per_sample; // 1: Dice of each sample, averaged, instead of sums over the batch
    int region_sum; // 1: cross-entropy summed over regions instead of averaged
    float numerator_epsilon, denominator_epsilon;
};

__device__ __forceinline__ float probability_of(float logit) {
    return 1.0f / (1.0f + expf(-logit));
}

__device__ __forceinline__ size_t place_of(const int* distances, int sample, int region, int voxel) {
    return (size_t)sample * distances[0] + (size_t)region * distances[1] + (size_t)voxel * distances[2];
}

/// Share of a voxel in all sums.
__device__ __forceinline__ float weight_of(const RegionLoss& g, const float* weights, int sample, int voxel) {
#if COUNTED
    return weights[place_of(g.weights, sample, 0, voxel)];
#else
    return 1.0f;
#endif
}
