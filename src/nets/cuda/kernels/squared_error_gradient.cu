// Gradient of a mean squared error in the first of its volumes, `slope` that of the mean; a thread writes 16 bytes.

extern "C" __global__ void __launch_bounds__(256) squared_error_gradient(const Element* __restrict__ volume, const Element* __restrict__ wanted, const float* __restrict__ slope, Element* __restrict__ gradient, const Error g) {
    const int across = g.pitch / PER_GRANULE;
    const size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= (size_t)g.voxels * across) {
        return;
    }
    const float factor = (float)(2.0 / ((double)g.voxels * g.channels)) * slope[0];
    Elements<GRANULE> x, y, answer;
    x.read(volume + at * PER_GRANULE);
    y.read(wanted + at * PER_GRANULE);
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        const float value = factor * (f32_from(x.values[i]) - f32_from(y.values[i]));
        answer.values[i] = element_from((int)(at % across) * PER_GRANULE + i < g.channels ? value : 0.0f);
    }
    answer.write(gradient + at * PER_GRANULE);
}
