// Elements of volumes, and vectors of them.
//
// BF16 is 1 where volumes are in bf16, 0 where they are in f32. No header of the toolkit is needed, which
// is most of what compiling a small kernel costs.

#if BF16
typedef unsigned short Element;
#else
typedef float Element;
#endif

/// Bytes of an element.
#define WIDTH ((int)sizeof(Element))

/// Bytes that a thread reads or writes at once, and elements in them; a convolution's are defined outside.
#ifndef GRANULE
#define GRANULE 16
#endif
#define PER_GRANULE (GRANULE / WIDTH)

/// Two f32 rounded to bf16, to nearest, ties to even; `low` lies first in memory.
__device__ __forceinline__ unsigned bf16_pair(float low, float high) {
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

__device__ __forceinline__ float f32_from(unsigned short bits) {
    return __uint_as_float((unsigned)bits << 16);
}

__device__ __forceinline__ float f32_from(float value) {
    return value;
}

__device__ __forceinline__ Element element_from(float value) {
#if BF16
    return (unsigned short)bf16_pair(value, 0.0f);
#else
    return value;
#endif
}

/// Rounded to the 10 bits of mantissa that a product in TF32 has. The tensor cores cut them off instead,
/// which makes every product too small.
__device__ __forceinline__ unsigned tf32_bits(float value) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
}

/// `BYTES` of memory as words, or a half one: a vector of elements.
template <int BYTES> struct Granule;
template <> struct Granule<16> { typedef uint4 Word; };
template <> struct Granule<8> { typedef uint2 Word; };
template <> struct Granule<4> { typedef unsigned Word; };
template <> struct Granule<2> { typedef unsigned short Word; };

/// Elements to and from f32, `BYTES` at once.
template <int BYTES> struct Elements {
    static const int COUNT = BYTES / sizeof(Element);
    union {
        typename Granule<BYTES>::Word word;
        Element values[COUNT];
    };

    __device__ __forceinline__ void read(const Element* from) {
        word = *reinterpret_cast<const typename Granule<BYTES>::Word*>(from);
    }

    __device__ __forceinline__ void write(Element* to) const {
        *reinterpret_cast<typename Granule<BYTES>::Word*>(to) = word;
    }
};
