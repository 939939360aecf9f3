// Soft Dice with squared denominators and binary cross-entropy over REGIONS overlapping regions (train/loss.rs).
//
// Logits and targets are f32 in any layout whose voxels are equally far apart. Defined outside: REGIONS, 1 to 8.

#define THREADS 256

/// All fields are 4 bytes.
struct RegionLoss {
    int samples, voxels;
    int stretch;    // voxels of a block
    int logits[3];  // elements from sample to sample, region to region, voxel to voxel
    int targets[3];
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
