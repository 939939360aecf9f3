// Threads of a kernel that goes through all voxels of volumes [b, d, h, w, c], 16 bytes of channels each.

/// All fields are 4 bytes.
struct Volume {
    int samples;
    int extent[3]; // d, h, w of the coarser volume of the two
    int channels;
    int pitch;     // elements from voxel to voxel, in both; a multiple of 16 bytes
};

/// Place of a thread: a voxel of a grid `scale` times as fine as `extent`, and the first of its channels.
struct Place {
    int sample, z, y, x, channel;
    bool inside;

    __device__ __forceinline__ Place(const Volume& g, int scale) {
        const int across = g.pitch / PER_GRANULE;
        const int width = g.extent[2] * scale, height = g.extent[1] * scale, depth = g.extent[0] * scale;
        long long rest = (long long)blockIdx.x * 256 + threadIdx.x;
        channel = (int)(rest % across) * PER_GRANULE;
        rest /= across;
        inside = rest < (long long)g.samples * depth * height * width;
        const int voxel = (int)rest;
        x = voxel % width;
        y = voxel / width % height;
        z = voxel / width / height % depth;
        sample = voxel / width / height / depth;
    }
};

/// Element of a voxel's channel in a volume `scale` times as fine as `extent`.
__device__ __forceinline__ size_t element_of(const Volume& g, int scale, int sample, int z, int y, int x, int channel) {
    const int voxel = ((sample * g.extent[0] * scale + z) * g.extent[1] * scale + y) * g.extent[2] * scale + x;
    return (size_t)voxel * g.pitch + channel;
}

/// Writes sums in f32 as channels of a voxel, zero beyond the last of them.
__device__ __forceinline__ void write_channels(const Volume& g, const Place& p, const float* sums, Element* target) {
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        answer.values[i] = element_from(p.channel + i < g.channels ? sums[i] : 0.0f);
    }
    answer.write(target);
}
