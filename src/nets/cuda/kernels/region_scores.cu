// What the sums of a loss say: Dice loss, cross-entropy, their total, soft Dice of each region, and for the way back
// two numbers of each sample and region, from which the Dice loss has the slope b p - a g in a probability p.
//
// One block; a warp adds up one sum at a time, in an order that is always the same. `parts` is
// [sample][stretch][REGIONS][4], `slopes` [sample][REGIONS][a, b].

#define MOST_SAMPLES 64
#define SMALLEST_WEIGHT 1e-6

extern "C" __global__ void __launch_bounds__(256) region_scores(const float* __restrict__ parts, float* __restrict__ total, float* __restrict__ dice, float* __restrict__ entropy, float* __restrict__ scores, float* __restrict__ slopes, const RegionLoss g) {
    __shared__ double sums[MOST_SAMPLES][SUMS];
    const int stretches = (g.voxels + g.stretch - 1) / g.stretch;
    const int lane = threadIdx.x & 31;
    for (int at = threadIdx.x >> 5; at < g.samples * SUMS; at += THREADS / 32) {
        const int sample = at / SUMS, which = at % SUMS;
        double sum = 0.0;
        for (int stretch = lane; stretch < stretches; stretch += 32) {
            sum += parts[((size_t)sample * stretches + stretch) * SUMS + which];
        }
        for (int distance = 16; distance > 0; distance /= 2) {
            sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        }
        if (lane == 0) {
            sums[sample][which] = sum;
        }
    }
    __syncthreads();
    if (threadIdx.x > 0) {
        return;
    }
    double all_scores = 0.0, all_entropy = 0.0, weight = 0.0;
    const int parties = g.per_sample ? g.samples : 1;
    const double share = 1.0 / (REGIONS * parties);
    for (int region = 0; region < REGIONS; ++region) {
        double of_region = 0.0;
        for (int party = 0; party < parties; ++party) {
            const int first = party, end = g.per_sample ? party + 1 : g.samples;
            double overlap = 0.0, sizes = 0.0;
            for (int sample = first; sample < end; ++sample) {
                overlap += sums[sample][region * 4];
                sizes += sums[sample][region * 4 + 1] + sums[sample][region * 4 + 2];
                all_entropy += sums[sample][region * 4 + 3];
            }
            const double inverse = 1.0 / (sizes + g.denominator_epsilon);
            const double score = (2.0 * overlap + g.numerator_epsilon) * inverse;
            of_region += score;
            for (int sample = first; sample < end; ++sample) {
                float* slope = slopes + (sample * REGIONS + region) * 2;
                slope[0] = (float)(2.0 * share * inverse);
                slope[1] = (float)(2.0 * share * score * inverse);
            }
        }
        scores[region] = (float)(of_region / parties);
        all_scores += of_region;
    }
    for (int sample = 0; sample < g.samples; ++sample) {
        weight += sums[sample][REGIONS * 4];
    }
    // Where no voxel counts, the entropy is zero and so is what it is divided by.
    const double entropy_share = (g.region_sum ? REGIONS : 1) / fmax(weight * REGIONS, SMALLEST_WEIGHT);
    slopes[g.samples * REGIONS * 2] = (float)entropy_share;
    const double mean = all_entropy * entropy_share;
    dice[0] = (float)(1.0 - all_scores * share);
    entropy[0] = (float)mean;
    total[0] = dice[0] + entropy[0];
}
