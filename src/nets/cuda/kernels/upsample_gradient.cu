// Gradient of trilinear up-sampling by two (`upsample.cu`).
//
// It is gathered, from the four voxels along each axis that have a share of it, so no two threads add to one place.
// Defined outside: BF16.

/// Share of coarse voxel `at` of `extent` in fine voxel `2 * at + child`, child from -1 to 2.
__device__ __forceinline__ float share_of(int at, int child, int extent) {
    if (child == -1) {
        return at > 0 ? 0.25f : 0.0f;
    }
    if (child == 2) {
        return at + 1 < extent ? 0.25f : 0.0f;
    }
    return (child == 0 && at == 0) || (child == 1 && at + 1 == extent) ? 1.0f : 0.75f;
}

extern "C" __global__ void __launch_bounds__(256) upsample_gradient(const Element* __restrict__ slopes, Element* __restrict__ target, const Volume g) {
    const Place p(g, 1);
    if (!p.inside) {
        return;
    }
    float sums[PER_GRANULE] = {};
    for (int z = -1; z < 3; ++z) {
        const float of_z = share_of(p.z, z, g.extent[0]);
        for (int y = -1; y < 3; ++y) {
            const float of_y = of_z * share_of(p.y, y, g.extent[1]);
#pragma unroll
            for (int x = -1; x < 3; ++x) {
                const float share = of_y * share_of(p.x, x, g.extent[2]);
                if (share > 0.0f) {
                    Elements<GRANULE> values;
                    values.read(slopes + element_of(g, 2, p.sample, 2 * p.z + z, 2 * p.y + y, 2 * p.x + x, p.channel));
#pragma unroll
                    for (int i = 0; i < PER_GRANULE; ++i) {
                        sums[i] += share * f32_from(values.values[i]);
                    }
                }
            }
        }
    }
    write_channels(g, p, sums, target + element_of(g, 1, p.sample, p.z, p.y, p.x, p.channel));
}
