// A volume of any strides to [b, d, h, w, c] with a pitch, zero beyond the channels: how what comes from
// elsewhere gets its place among the volumes of these kernels.
//
// A block turns 32 voxels times 32 channels around in shared memory. Defined outside: BF16.

/// All fields are 4 bytes.
struct Layout {
    int extent[3]; // d, h, w
    int samples, channels;
    int stride[5]; // of b, c, d, h, w in the source
    int pitch;     // elements from voxel to voxel in the target
};

extern "C" __global__ void __launch_bounds__(256) to_channels_last(const Element* __restrict__ source, Element* __restrict__ target, const Layout g) {
    __shared__ Element tile[32][33];
    const int lane = threadIdx.x & 31, row = threadIdx.x >> 5;
    const int voxels = g.extent[0] * g.extent[1] * g.extent[2];
    const int sample = blockIdx.z;
    const int voxel = blockIdx.x * 32 + lane;
    const int x = voxel % g.extent[2], y = voxel / g.extent[2] % g.extent[1], z = voxel / g.extent[2] / g.extent[1];
    const int place = sample * g.stride[0] + z * g.stride[2] + y * g.stride[3] + x * g.stride[4];
#pragma unroll
    for (int at = row; at < 32; at += 8) {
        const int channel = blockIdx.y * 32 + at;
        const bool inside = voxel < voxels && channel < g.channels;
        tile[at][lane] = inside ? source[place + channel * g.stride[1]] : (Element)0;
    }
    __syncthreads();
    const int channel = blockIdx.y * 32 + lane;
#pragma unroll
    for (int at = row; at < 32; at += 8) {
        const int there = blockIdx.x * 32 + at;
        if (there < voxels && channel < g.pitch) {
            target[(sample * voxels + there) * g.pitch + channel] = tile[lane][at];
        }
    }
}
