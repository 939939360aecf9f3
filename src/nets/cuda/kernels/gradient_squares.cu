// Sums of squares of all gradients of a network, one for each stretch of one of them.
//
// A line with an @ stands for as many as there are SLOTS, each with its number (kernel.rs); slots behind the last
// tensor have no blocks. A block's sum is added up in an order that is always the same. Defined outside: SLOTS.

#define THREADS 256
#define STRETCH 4096

/// All fields are 4 bytes.
struct Gradients {
    int first;       // block in `parts` that the first of this launch writes
    int ends[SLOTS]; // blocks up to the end of each tensor
    int sizes[SLOTS];
};

extern "C" __global__ void __launch_bounds__(256) gradient_squares(
    const float* __restrict__ gradient_@,
    float* __restrict__ parts, const Gradients g) {
    __shared__ double found[THREADS];
    int slot = 0, begin = 0;
    while ((int)blockIdx.x >= g.ends[slot]) {
        begin = g.ends[slot];
        slot += 1;
    }
    const float* gradient = nullptr;
    switch (slot) {
        case @: gradient = gradient_@; break;
    }
    const int start = ((int)blockIdx.x - begin) * STRETCH;
    const int end = min(start + STRETCH, g.sizes[slot]);
    double sum = 0.0;
    for (int at = start + threadIdx.x; at < end; at += THREADS) {
        // The square is f32's, so that one that is too long for it is found.
        const float square = gradient[at] * gradient[at];
        sum += square;
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
        parts[g.first + blockIdx.x] = (float)found[0];
    }
}
