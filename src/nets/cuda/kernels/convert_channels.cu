// Volumes of any strides to [b, d, h, w, c] in another type, and where LOGISTIC is 1 through the logistic function, or
// where it is 2 through its slope: logits and gradients of their probabilities to gradients of the logits.
//
// A thread writes 16 bytes of a voxel's channels. Defined outside: BF16 of the target, SOURCE_BF16, LOGISTIC.

/// All fields are 4 bytes.
struct Conversion {
    int extent[3]; // d, h, w
    int voxels, channels;
    int source[5]; // elements along b, c, d, h, w
    int logits[5]; // of the logits, which are f32
    int pitch;     // of the target
};

#if SOURCE_BF16
typedef unsigned short Source;
#else
typedef float Source;
#endif

__device__ __forceinline__ size_t place_of(const Conversion& g, const int* strides, size_t at, int channel) {
    const int x = at % g.extent[2], y = at / g.extent[2] % g.extent[1];
    const int z = at / g.extent[2] / g.extent[1] % g.extent[0], sample = at / g.extent[2] / g.extent[1] / g.extent[0];
    return (size_t)sample * strides[0] + (size_t)channel * strides[1] + (size_t)z * strides[2] + (size_t)y * strides[3] + (size_t)x * strides[4];
}

extern "C" __global__ void __launch_bounds__(256) convert_channels(const Source* __restrict__ source, const float* __restrict__ logits, Element* __restrict__ target, const Conversion g) {
    const ChannelPlace p(g.voxels, g.pitch);
    if (!p.inside) {
        return;
    }
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        float value = 0.0f;
        if (p.channel + i < g.channels) {
            value = f32_from(source[place_of(g, g.source, p.voxel, p.channel + i)]);
#if LOGISTIC == 1
            value = 1.0f / (1.0f + expf(-value));
#elif LOGISTIC == 2
            const float probability = 1.0f / (1.0f + expf(-logits[place_of(g, g.logits, p.voxel, p.channel + i)]));
            value *= probability * (1.0f - probability);
#endif
        }
        answer.values[i] = element_from(value);
    }
    answer.write(target + p.voxel * g.pitch + p.channel);
}
