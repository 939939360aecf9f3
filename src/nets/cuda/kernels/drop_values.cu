// Dropout of single values, or of their gradients: zero where a value's bit is set, `scale` times the value elsewhere.
//
// Bits are in the order [b, c, d, h, w], 32 a word, the lowest first. A thread writes 16 bytes of a voxel's channels.
// Defined outside: BF16.

/// All fields are 4 bytes.
struct Dropout {
    int samples, voxels, channels;
    int source_pitch; // elements from voxel to voxel
    int pitch;        // of the target
    float scale;
};

extern "C" __global__ void __launch_bounds__(256) drop_values(const Element* __restrict__ source, const unsigned* __restrict__ dropped, Element* __restrict__ target, const Dropout g) {
    const ChannelPlace p((size_t)g.samples * g.voxels, g.pitch);
    if (!p.inside) {
        return;
    }
    const size_t sample = p.voxel / g.voxels, voxel = p.voxel % g.voxels;
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        float value = 0.0f;
        if (p.channel + i < g.channels) {
            const size_t bit = (sample * g.channels + p.channel + i) * g.voxels + voxel;
            const bool is_dropped = dropped[bit / 32] >> bit % 32 & 1;
            value = is_dropped ? 0.0f : g.scale * f32_from(source[p.voxel * g.source_pitch + p.channel + i]);
        }
        answer.values[i] = element_from(value);
    }
    answer.write(target + p.voxel * g.pitch + p.channel);
}
