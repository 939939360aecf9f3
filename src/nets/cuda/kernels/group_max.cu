// Largest channel of each place in groups of channels; a thread writes 16 bytes of a voxel's.
//
// Defined outside: BF16.

/// All fields are 4 bytes.
struct Groups {
    int voxels;       // of all samples
    int groups, members;
    int source_pitch; // elements from voxel to voxel
    int pitch;
};

extern "C" __global__ void __launch_bounds__(256) group_max(const Element* __restrict__ source, Element* __restrict__ target, const Groups g) {
    const ChannelPlace p(g.voxels, g.pitch);
    if (!p.inside) {
        return;
    }
    const Element* from = source + p.voxel * g.source_pitch;
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        const int member = p.channel + i;
        answer.values[i] = member < g.members ? from[member] : (Element)0;
        for (int group = 1; group < g.groups && member < g.members; ++group) {
            const Element other = from[group * g.members + member];
            answer.values[i] = f32_from(answer.values[i]) < f32_from(other) ? other : answer.values[i];
        }
    }
    answer.write(target + p.voxel * g.pitch + p.channel);
}
