// Gradient of maximum pooling 2x2x2, which goes to the first of equal voxels in memory order, as PyTorch's.
//
// The maximum is looked for again. Defined outside: BF16.

/// The largest of eight and which it is; what is not a number is larger than all others.
__device__ __forceinline__ int largest_of(const float (&values)[8]) {
    int best = 0;
#pragma unroll
    for (int at = 1; at < 8; ++at) {
        best = values[at] > values[best] || (values[at] != values[at] && values[best] == values[best]) ? at : best;
    }
    return best;
}

extern "C" __global__ void __launch_bounds__(256) max_pool_gradient(const Element* __restrict__ volume, const Element* __restrict__ slopes, Element* __restrict__ target, const Volume g) {
    const Place p(g, 1);
    if (!p.inside) {
        return;
    }
    Elements<GRANULE> children[8], slope;
    slope.read(slopes + element_of(g, 1, p.sample, p.z, p.y, p.x, p.channel));
#pragma unroll
    for (int child = 0; child < 8; ++child) {
        const int z = 2 * p.z + (child >> 2), y = 2 * p.y + (child >> 1 & 1), x = 2 * p.x + (child & 1);
        children[child].read(volume + element_of(g, 2, p.sample, z, y, x, p.channel));
    }
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        float values[8];
#pragma unroll
        for (int child = 0; child < 8; ++child) {
            values[child] = f32_from(children[child].values[i]);
        }
        const int best = largest_of(values);
        const bool used = p.channel + i < g.channels;
#pragma unroll
        for (int child = 0; child < 8; ++child) {
            children[child].values[i] = child == best && used ? slope.values[i] : (Element)0;
        }
    }
#pragma unroll
    for (int child = 0; child < 8; ++child) {
        const int z = 2 * p.z + (child >> 2), y = 2 * p.y + (child >> 1 & 1), x = 2 * p.x + (child & 1);
        children[child].write(target + element_of(g, 2, p.sample, z, y, x, p.channel));
    }
}
