// Channels of two volumes side by side in one; a thread writes 16 bytes of a voxel's.
//
// Defined outside: BF16.

#define GRANULE 16
#define PER_GRANULE (GRANULE / WIDTH)

/// All fields are 4 bytes.
struct Concatenation {
    int voxels;      // of all samples
    int channels[2];
    int pitches[2];  // elements from voxel to voxel of the sources
    int pitch;       // of the target
};

extern "C" __global__ void __launch_bounds__(256) concatenate(const Element* __restrict__ first, const Element* __restrict__ second, Element* __restrict__ target, const Concatenation g) {
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
        const int channel = start + i, behind = channel - g.channels[0];
        answer.values[i] = behind < 0                ? first[voxel * g.pitches[0] + channel]
                           : behind < g.channels[1] ? second[voxel * g.pitches[1] + behind]
                                                     : (Element)0;
    }
    answer.write(target + voxel * g.pitch + start);
}
