// Channels of two volumes side by side in one; a thread writes 16 bytes of a voxel's.
//
// Defined outside: BF16.

/// All fields are 4 bytes.
struct Concatenation {
    int voxels;      // of all samples
    int channels[2];
    int pitches[2];  // elements from voxel to voxel of the sources
    int pitch;       // of the target
};

extern "C" __global__ void __launch_bounds__(256) concatenate(const Element* __restrict__ first, const Element* __restrict__ second, Element* __restrict__ target, const Concatenation g) {
    const ChannelPlace p(g.voxels, g.pitch);
    if (!p.inside) {
        return;
    }
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        const int channel = p.channel + i, behind = channel - g.channels[0];
        answer.values[i] = behind < 0                ? first[p.voxel * g.pitches[0] + channel]
                           : behind < g.channels[1] ? second[p.voxel * g.pitches[1] + behind]
                                                     : (Element)0;
    }
    answer.write(target + p.voxel * g.pitch + p.channel);
}
