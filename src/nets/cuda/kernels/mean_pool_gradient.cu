// Gradient of mean pooling 2x2x2: an eighth for each voxel of a block. Defined outside: BF16.

extern "C" __global__ void __launch_bounds__(256) mean_pool_gradient(const Element* __restrict__ slopes, Element* __restrict__ target, const Volume g) {
    const Place p(g, 2);
    if (!p.inside) {
        return;
    }
    Elements<GRANULE> values;
    values.read(slopes + element_of(g, 1, p.sample, p.z >> 1, p.y >> 1, p.x >> 1, p.channel));
    float shares[PER_GRANULE];
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        shares[i] = 0.125f * f32_from(values.values[i]);
    }
    write_channels(g, p, shares, target + element_of(g, 2, p.sample, p.z, p.y, p.x, p.channel));
}
