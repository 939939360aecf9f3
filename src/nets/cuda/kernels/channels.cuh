// Threads of a kernel that writes the channels of voxels, 16 bytes of a voxel's each, whatever the grid.

/// Place of a thread among `voxels`, of all samples, that are `pitch` elements apart: a voxel, and the first of its
/// channels.
struct ChannelPlace {
    size_t voxel;
    int channel;
    bool inside;

    __device__ __forceinline__ ChannelPlace(size_t voxels, int pitch) {
        const int across = pitch / PER_GRANULE;
        const size_t at = (size_t)blockIdx.x * 256 + threadIdx.x;
        voxel = at / across;
        channel = (int)(at % across) * PER_GRANULE;
        inside = voxel < voxels;
    }
};
