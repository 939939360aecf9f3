// Gradient of `group_max`: it goes to the first group whose channel is the largest; a thread writes 16 bytes of a
// voxel's.
//
// Defined outside: BF16.

/// All fields are 4 bytes.
struct Groups {
    int voxels;                     // of all samples
    int groups, members;
    int source_pitch, slopes_pitch; // elements from voxel to voxel
    int pitch;
};

extern "C" __global__ void __launch_bounds__(256) group_max_gradient(const Element* __restrict__ source, const Element* __restrict__ slopes, Element* __restrict__ target, const Groups g) {
    const ChannelPlace p(g.voxels, g.pitch);
    if (!p.inside) {
        return;
    }
    const Element* from = source + p.voxel * g.source_pitch;
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        answer.values[i] = 0;
        const int channel = p.channel + i, member = channel % g.members;
        if (channel < g.groups * g.members) {
            int largest = 0;
            float most = f32_from(from[member]);
            for (int group = 1; group < g.groups; ++group) {
                const float other = f32_from(from[group * g.members + member]);
                largest = most < other ? group : largest;
                most = most < other ? other : most;
            }
            if (largest == channel / g.members) {
                answer.values[i] = slopes[p.voxel * g.slopes_pitch + member];
            }
        }
    }
    answer.write(target + p.voxel * g.pitch + p.channel);
}
