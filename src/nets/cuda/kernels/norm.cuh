// Group norm (instance norm: one channel a group) and the activation behind it, of volumes [b, d, h, w, c].
//
// A block of 256 threads goes through a stretch of voxels of one sample; a thread keeps to 16 bytes of
// channels, so that what belongs to a channel stays in registers. The pitch is a multiple of 16 bytes.

/// All fields are 4 bytes.
struct Norm {
    int samples, voxels, channels, groups;
    int pitch;   // elements from voxel to voxel
    int stretch; // voxels of a block
    float epsilon;
    float slope; // of the activation below zero: 1 for none, 0 for ReLU
};

#define THREADS 256

/// A thread's share of a stretch: voxels `first`, `first + step`, ... below `end`, of its 16 bytes of channels.
struct Share {
    int channel, row, rows, first, end;
    bool used;

    __device__ __forceinline__ Share(const Norm& g) {
        const int across = g.pitch / PER_GRANULE;
        rows = THREADS / across;
        row = threadIdx.x / across;
        channel = threadIdx.x % across * PER_GRANULE;
        used = row < rows;
        first = blockIdx.x * g.stretch + row;
        end = min((int)(blockIdx.x + 1) * g.stretch, g.voxels);
    }

    /// Element of a voxel's channels in a volume.
    __device__ __forceinline__ size_t place(const Norm& g, int voxel) const {
        return ((size_t)blockIdx.y * g.voxels + voxel) * g.pitch + channel;
    }
};

/// What a norm does to one channel of one sample: (x - mean) * scale + shift, and the activation.
struct Channel {
    float mean, inverse, scale, shift;
};

/// `statistics` is [sample][group][mean, inverse deviation].
__device__ __forceinline__ Channel channel_of(const Norm& g, int channel, const float* statistics, const float* weight, const float* bias) {
    Channel c = {0.0f, 0.0f, 0.0f, 0.0f};
    if (channel < g.channels) {
        const int group = channel / (g.channels / g.groups);
        c.mean = statistics[(blockIdx.y * g.groups + group) * 2];
        c.inverse = statistics[(blockIdx.y * g.groups + group) * 2 + 1];
        c.scale = weight[channel] * c.inverse;
        c.shift = bias[channel];
    }
    return c;
}

__device__ __forceinline__ float activated(float value, float slope) {
    // ReLU of minus infinity is zero, which a product with zero is not; what is not a number stays so.
    const float below = slope == 0.0f && value < 0.0f ? 0.0f : value * slope;
    return value > 0.0f ? value : below;
}

/// Channels of a group at most.
#define MOST_CHANNELS 1024

/// Sums of one channel over all stretches of a sample, in all lanes of a warp.
__device__ __forceinline__ double2 channel_sums(const Norm& g, const float* sums, int sample, int channel, int stretches) {
    double first = 0.0, second = 0.0;
    for (int stretch = threadIdx.x & 31; stretch < stretches; stretch += 32) {
        const float* place = sums + (size_t)(sample * stretches + stretch) * 2 * g.pitch + channel;
        first += place[0];
        second += place[g.pitch];
    }
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        first += __shfl_xor_sync(0xffffffffu, first, distance);
        second += __shfl_xor_sync(0xffffffffu, second, distance);
    }
    return make_double2(first, second);
}
