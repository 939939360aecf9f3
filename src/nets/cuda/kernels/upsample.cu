// Trilinear up-sampling by two with half-pixel centres (`align_corners = false`), and its gradient.
//
// Along each axis a voxel has two children, a quarter of a voxel to either side: three quarters of it and one quarter
// of the neighbour there, or of itself at the border. The gradient is gathered, from the four voxels along each
// axis that have a share of it, so no two threads add to one place. Defined outside: BF16.

extern "C" __global__ void __launch_bounds__(256) upsample(const Element* __restrict__ volume, Element* __restrict__ target, const Volume g) {
    const Place p(g, 2);
    if (!p.inside) {
        return;
    }
    const int fine[3] = {p.z, p.y, p.x};
    int near[3], far[3];
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        near[axis] = fine[axis] >> 1;
        far[axis] = min(max(near[axis] + (fine[axis] & 1 ? 1 : -1), 0), g.extent[axis] - 1);
    }
    float sums[PER_GRANULE] = {};
#pragma unroll
    for (int corner = 0; corner < 8; ++corner) {
        const int z = corner & 4 ? far[0] : near[0], y = corner & 2 ? far[1] : near[1], x = corner & 1 ? far[2] : near[2];
        const float share = (corner & 4 ? 0.25f : 0.75f) * (corner & 2 ? 0.25f : 0.75f) * (corner & 1 ? 0.25f : 0.75f);
        Elements<GRANULE> values;
        values.read(volume + element_of(g, 1, p.sample, z, y, x, p.channel));
#pragma unroll
        for (int i = 0; i < PER_GRANULE; ++i) {
            sums[i] += share * f32_from(values.values[i]);
        }
    }
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        answer.values[i] = element_from(p.channel + i < g.channels ? sums[i] : 0.0f);
    }
    answer.write(target + element_of(g, 2, p.sample, p.z, p.y, p.x, p.channel));
}

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
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        answer.values[i] = element_from(p.channel + i < g.channels ? sums[i] : 0.0f);
    }
    answer.write(target + element_of(g, 1, p.sample, p.z, p.y, p.x, p.channel));
}
