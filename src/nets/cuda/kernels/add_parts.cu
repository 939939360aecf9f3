// Second pass of `correlate` where blocks share the steps of a tile: adds up their parts, always in the same
// order, and the bias.
//
// `parts` is [split][voxel][pitch]. Defined outside: BF16, BIAS.

extern "C" __global__ void __launch_bounds__(256) add_parts(const float* __restrict__ parts, const float* __restrict__ bias, Element* __restrict__ target, const Convolution g) {
    const size_t volume = (size_t)g.samples * g.target[0] * g.target[1] * g.target[2] * g.target_pitch;
    const size_t place = (size_t)blockIdx.x * 256 + threadIdx.x;
    const int channel = (int)(place % g.target_pitch);
    if (place >= volume) {
        return;
    }
    float sum = 0.0f;
    if (channel < g.groups * g.to) {
        for (int split = 0; split < g.splits; ++split) {
            sum += parts[split * volume + place];
        }
#if BIAS
        sum += bias[channel];
#endif
    }
    target[place] = element_from(sum);
}
