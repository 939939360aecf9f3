// Mean pooling 2x2x2 of a volume of any strides. Defined outside: BF16.

/// All fields are 4 bytes.
struct MeanPooling {
    Volume volume;
    int stride[5]; // of b, c, d, h, w in the finer volume
};

extern "C" __global__ void __launch_bounds__(256) mean_pool(const Element* __restrict__ volume, Element* __restrict__ target, const MeanPooling pooling) {
    const Volume& g = pooling.volume;
    const Place p(g, 1);
    if (!p.inside) {
        return;
    }
    float sums[PER_GRANULE] = {};
#pragma unroll
    for (int child = 0; child < 8; ++child) {
        const int z = 2 * p.z + (child >> 2), y = 2 * p.y + (child >> 1 & 1), x = 2 * p.x + (child & 1);
        const int* stride = pooling.stride;
        const Element* from = volume + ((size_t)p.sample * stride[0] + (size_t)z * stride[2] + (size_t)y * stride[3] + (size_t)x * stride[4]);
#pragma unroll
        for (int i = 0; i < PER_GRANULE; ++i) {
            sums[i] += p.channel + i < g.channels ? 0.125f * f32_from(from[(size_t)(p.channel + i) * stride[1]]) : 0.0f;
        }
    }
    write_channels(g, p, sums, target + element_of(g, 1, p.sample, p.z, p.y, p.x, p.channel));
}
