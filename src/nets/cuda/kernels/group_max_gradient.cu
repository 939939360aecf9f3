// Gradient of `group_max`: it goes to the first group whose channel is the largest; a thread writes 16 bytes of a
// voxel's.
//
// Defined outside: BF16.

#define GRANULE 16
#define PER_GRANULE (GRANULE / WIDTH)

/// All fields are 4 bytes.
struct Groups {
    int voxels;                     // of all samples
    int groups, members;
    int source_pitch, slopes_pitch; // elements from voxel to voxel
    int pitch;
};

extern "C" __global__ void __launch_bounds__(256) group_max_gradient(const Element* __restrict__ source, const Element* __restrict__ slopes, Element* __restrict__ target, const Groups g) {
    const int across = g.pitch / PER_GRANULE;
    const size_t at = (size_t)blockIdx.x * 256 + threadIdx.x;
    if (at >= (size_t)g.voxels * across) {
        return;
    }
    const size_t voxel = at / across;
    const int start = (int)(at % across) * PER_GRANULE;
    const Element* from = source + voxel * g.source_pitch;
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        answer.values[i] = 0;
        const int channel = start + i, member = channel % g.members;
        if (channel < g.groups * g.members) {
            int largest = 0;
            float most = f32_from(from[member]);
            for (int group = 1; group < g.groups; ++group) {
                const float other = f32_from(from[group * g.members + member]);
                largest = most < other ? group : largest;
                most = most < other ? other : most;
            }
            if (largest == channel / g.members) {
                answer.values[i] = slopes[voxel * g.slopes_pitch + member];
            }
        }
    }
    answer.write(target + voxel * g.pitch + start);
}
