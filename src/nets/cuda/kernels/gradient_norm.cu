// The global norm of a step's gradients, what they are to be multiplied by, and whether the step is finite.
//
// One block. `mean` is one by the batches that the gradients are the sum of; `norm` is that of their mean, `checked`
// the same unless a loss is not finite, `factor` what takes them to the mean, clipped to a norm of `longest` where
// that is not 0.

#define THREADS 256

/// All fields are 4 bytes.
struct GlobalNorm {
    int parts;
    float mean, longest;
};

extern "C" __global__ void __launch_bounds__(256) gradient_norm(const float* __restrict__ parts, const float* __restrict__ losses, float* __restrict__ norm, float* __restrict__ checked, float* __restrict__ factor, const GlobalNorm g) {
    __shared__ double found[THREADS];
    double sum = 0.0;
    for (int at = threadIdx.x; at < g.parts; at += THREADS) {
        sum += parts[at];
    }
    found[threadIdx.x] = sum;
    __syncthreads();
    for (int distance = THREADS / 2; distance > 0; distance /= 2) {
        if (threadIdx.x < distance) {
            found[threadIdx.x] += found[threadIdx.x + distance];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        const float length = sqrtf((float)found[0]) * g.mean;
        norm[0] = length;
        checked[0] = length + losses[0] * 0.0f;
        factor[0] = g.longest > 0.0f ? fminf(g.longest / (length + 1e-6f), 1.0f) * g.mean : g.mean;
    }
}
