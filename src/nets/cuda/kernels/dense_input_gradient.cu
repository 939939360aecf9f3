// Gradient of a dense layer's input: of each of its values, a sum over outputs.
//
// A block has 32 values; its warps share the outputs, and their sums are added up in an order that is always the same.

extern "C" __global__ void __launch_bounds__(256) dense_input_gradient(const float* __restrict__ weight, const Answer* __restrict__ answers, const Answer* __restrict__ slopes, Element* __restrict__ gradient, const Dense g) {
    __shared__ float found[THREADS / 32][SAMPLES][32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, at = blockIdx.x * 32 + lane;
    for (int first = 0; first < g.samples; first += SAMPLES) {
        float sums[SAMPLES] = {};
        for (int output = warp; output < g.answer.count; output += THREADS / 32) {
            const float factor = at < g.input.count ? weight[(size_t)output * g.input.count + at] : 0.0f;
#pragma unroll
            for (int i = 0; i < SAMPLES; ++i) {
                sums[i] += first + i < g.samples ? factor * slope_of(g, answers, slopes, first + i, output) : 0.0f;
            }
        }
#pragma unroll
        for (int i = 0; i < SAMPLES; ++i) {
            found[warp][i][lane] = sums[i];
        }
        __syncthreads();
        const int sample = first + warp;
        if (warp < SAMPLES && sample < g.samples && at < g.input.count) {
            float sum = 0.0f;
            for (int share = 0; share < THREADS / 32; ++share) {
                sum += found[share][warp][lane];
            }
            gradient[g.input.place(sample, at)] = element_from(sum);
        }
        __syncthreads();
    }
}
