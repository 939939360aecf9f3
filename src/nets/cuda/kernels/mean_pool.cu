// Mean pooling 2x2x2. Defined outside: BF16.

extern "C" __global__ void __launch_bounds__(256) mean_pool(const Element* __restrict__ volume, Element* __restrict__ target, const Volume g) {
    const Place p(g, 1);
    if (!p.inside) {
        return;
    }
    float sums[PER_GRANULE] = {};
#pragma unroll
    for (int child = 0; child < 8; ++child) {
        const int z = 2 * p.z + (child >> 2), y = 2 * p.y + (child >> 1 & 1), x = 2 * p.x + (child & 1);
        Elements<GRANULE> values;
        values.read(volume + element_of(g, 2, p.sample, z, y, x, p.channel));
#pragma unroll
        for (int i = 0; i < PER_GRANULE; ++i) {
            sums[i] += 0.125f * f32_from(values.values[i]);
        }
    }
    write_channels(g, p, sums, target + element_of(g, 1, p.sample, p.z, p.y, p.x, p.channel));
}
