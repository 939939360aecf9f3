// Some channels of a volume as one of its own; a thread writes 16 bytes of a voxel's.
//
// Defined outside: BF16.

/// All fields are 4 bytes.
struct ChannelRange {
    int voxels; // of all samples
    int first, channels;
    int source_pitch, pitch; // elements from voxel to voxel
};

extern "C" __global__ void __launch_bounds__(256) take_channels(const Element* __restrict__ source, Element* __restrict__ target, const ChannelRange g) {
    const ChannelPlace p(g.voxels, g.pitch);
    if (!p.inside) {
        return;
    }
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        answer.values[i] = p.channel + i < g.channels ? source[p.voxel * g.source_pitch + g.first + p.channel + i] : (Element)0;
    }
    answer.write(target + p.voxel * g.pitch + p.channel);
}
