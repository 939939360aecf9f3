// Images [b, c, d, h, w] in f16, as they are transferred, to [b, d, h, w, c] in the type to compute in; a thread writes
// 16 bytes of a voxel's channels.
//
// Defined outside: BF16.

/// All fields are 4 bytes.
struct Images {
    int samples, voxels, channels;
    int pitch; // elements from voxel to voxel of the target
};

__device__ __forceinline__ float f32_from_f16(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

extern "C" __global__ void __launch_bounds__(256) lay_out_images(const unsigned short* __restrict__ source, Element* __restrict__ target, const Images g) {
    const ChannelPlace p((size_t)g.samples * g.voxels, g.pitch);
    if (!p.inside) {
        return;
    }
    const size_t sample = p.voxel / g.voxels, voxel = p.voxel % g.voxels;
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        const size_t from = (sample * g.channels + p.channel + i) * g.voxels + voxel;
        answer.values[i] = p.channel + i < g.channels ? element_from(f32_from_f16(source[from])) : (Element)0;
    }
    answer.write(target + p.voxel * g.pitch + p.channel);
}
