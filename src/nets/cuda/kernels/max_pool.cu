// Maximum pooling 2x2x2. No indices are kept. Defined outside: BF16.

extern "C" __global__ void __launch_bounds__(256) max_pool(const Element* __restrict__ volume, Element* __restrict__ target, const Volume g) {
    const Place p(g, 1);
    if (!p.inside) {
        return;
    }
    Elements<GRANULE> children[8], answer;
#pragma unroll
    for (int child = 0; child < 8; ++child) {
        const int z = 2 * p.z + (child >> 2), y = 2 * p.y + (child >> 1 & 1), x = 2 * p.x + (child & 1);
        children[child].read(volume + element_of(g, 2, p.sample, z, y, x, p.channel));
    }
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        float best = f32_from(children[0].values[i]);
#pragma unroll
        for (int child = 1; child < 8; ++child) {
            const float value = f32_from(children[child].values[i]);
            best = value > best || value != value ? value : best;
        }
        answer.values[i] = element_from(p.channel + i < g.channels ? best : 0.0f);
    }
    answer.write(target + element_of(g, 1, p.sample, p.z, p.y, p.x, p.channel));
}
