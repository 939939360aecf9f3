// Some channels of a volume as one of its own; a thread writes 16 bytes of a voxel's.
//
// Defined outside: BF16.

#define GRANULE 16
#define PER_GRANULE (GRANULE / WIDTH)

/// All fields are 4 bytes.
struct ChannelRange {
    int voxels; // of all samples
    int first, channels;
    int source_pitch, pitch; // elements from voxel to voxel
};

extern "C" __global__ void __launch_bounds__(256) take_channels(const Element* __restrict__ source, Element* __restrict__ target, const ChannelRange g) {
    const int across = g.pitch / PER_GRANULE;
    const size_t at = (size_t)blockIdx.x * 256 + threadIdx.x;
    if (at >= (size_t)g.voxels * across) {
        return;
    }
    const size_t voxel = at / across;
    const int start = (int)(at % across) * PER_GRANULE;
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        answer.values[i] = start + i < g.channels ? source[voxel * g.source_pitch + g.first + start + i] : (Element)0;
    }
    answer.write(target + voxel * g.pitch + start);
}
