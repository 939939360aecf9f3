// Second pass of the kernel's gradient: adds up the shares of `kernel_gradient`, always in the same order.
//
// `parts` is [split][group][tap and input channel][output channel], `gradient` PyTorch's [out, in / groups, side,
// side, side], f32.
//
// Defined outside: BF16, COLUMNS and GRANULE, as for `kernel_gradient`.

extern "C" __global__ void __launch_bounds__(256) add_kernel_parts(const float* __restrict__ parts, float* __restrict__ gradient, const Convolution g) {
    const int taps = g.side * g.side * g.side;
    const int per_granule = PER_GRANULE;
    const int granules = granules_of(g.from, per_granule);
    const int rows = (taps * granules * per_granule + 127) / 128 * 128;
    const int columns = (g.to + COLUMNS - 1) / COLUMNS * COLUMNS;
    const int from = g.from / g.merged, to = g.to / g.merged;
    const int place = blockIdx.x * 256 + threadIdx.x;
    if (place >= g.groups * taps * from * g.to) {
        return;
    }
    const int output = place % g.to;
    const int input = place / g.to % from;
    const int tap = place / g.to / from % taps;
    const int group = place / g.to / from / taps;
    const int pair = tap * granules * per_granule + output / to * from + input;
    const size_t at = ((size_t)group * rows + pair) * columns + output;
    const size_t distance = (size_t)g.groups * rows * columns;
    float sum = 0.0f;
    for (int split = 0; split < g.splits; ++split) {
        sum += parts[split * distance + at];
    }
    gradient[((size_t)(group * g.to + output) * from + input) * taps + tap] = sum;
}
