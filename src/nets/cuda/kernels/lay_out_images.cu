// Images [b, c, d, h, w] in f16, as they are transferred, to [b, d, h, w, c] in the type to compute in; a thread writes
// 16 bytes of a voxel's channels.
//
// Defined outside: BF16.

#define GRANULE 16
#define PER_GRANULE (GRANULE / WIDTH)

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
    const int across = g.pitch / PER_GRANULE;
    const size_t at = (size_t)blockIdx.x * 256 + threadIdx.x;
    if (at >= (size_t)g.samples * g.voxels * across) {
        return;
    }
    const size_t place = at / across;
    const size_t sample = place / g.voxels, voxel = place % g.voxels;
    const int start = (int)(at % across) * PER_GRANULE;
    Elements<GRANULE> answer;
#pragma unroll
    for (int i = 0; i < PER_GRANULE; ++i) {
        const size_t from = (sample * g.channels + start + i) * g.voxels + voxel;
        answer.values[i] = start + i < g.channels ? element_from(f32_from_f16(source[from])) : (Element)0;
    }
    answer.write(target + place * g.pitch + start);
}
