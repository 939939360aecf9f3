// Trilinear up-sampling by two with half-pixel centres (`align_corners = false`).
//
// Along each axis a voxel has two children, a quarter of a voxel to either side: three quarters of it and one quarter
// of the neighbour there, or of itself at the border. Defined outside: BF16.

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
    write_channels(g, p, sums, target + element_of(g, 2, p.sample, p.z, p.y, p.x, p.channel));
}
