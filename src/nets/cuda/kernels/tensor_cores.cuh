// Copies into shared memory that run beside the computation, and products of small matrices.

__device__ __forceinline__ unsigned shared_address(const void* place) {
    return (unsigned)__cvta_generic_to_shared(place);
}

/// Copies `have` bytes, and zeros up to `BYTES`, into shared memory. 16, 8 and 4 bytes arrive by `wait_copies`, 2
/// bytes at once: the hardware has no shorter copy.
template <int BYTES> __device__ __forceinline__ void copy_granule(unsigned to, const void* from, int have);

template <> __device__ __forceinline__ void copy_granule<16>(unsigned to, const void* from, int have) {
    asm volatile("cp.async.ca.shared::cta.global [%0], [%1], 16, %2;" : : "r"(to), "l"(from), "r"(have) : "memory");
}

template <> __device__ __forceinline__ void copy_granule<8>(unsigned to, const void* from, int have) {
    asm volatile("cp.async.ca.shared::cta.global [%0], [%1], 8, %2;" : : "r"(to), "l"(from), "r"(have) : "memory");
}

template <> __device__ __forceinline__ void copy_granule<4>(unsigned to, const void* from, int have) {
    asm volatile("cp.async.ca.shared::cta.global [%0], [%1], 4, %2;" : : "r"(to), "l"(from), "r"(have) : "memory");
}

template <> __device__ __forceinline__ void copy_granule<2>(unsigned to, const void* from, int have) {
    const unsigned short value = have > 0 ? *reinterpret_cast<const unsigned short*>(from) : (unsigned short)0;
    asm volatile("st.shared.u16 [%0], %1;" : : "r"(to), "h"(value) : "memory");
}

/// Ends a group of copies.
__device__ __forceinline__ void commit_copies() {
    asm volatile("cp.async.commit_group;" : : : "memory");
}

/// Waits until all groups of copies of this thread but the last `PENDING` have arrived.
template <int PENDING> __device__ __forceinline__ void wait_copies() {
    asm volatile("cp.async.wait_group %0;" : : "n"(PENDING) : "memory");
}

// Four and two 8x8 matrices of 16 bits, each row at the address of one lane. In TF32 a row of 16 bytes is
// four elements, and what a lane gets is one whole element.
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], unsigned row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(row) : "memory");
}

__device__ __forceinline__ void load_matrices(unsigned (&to)[2], unsigned row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(to[0]), "=r"(to[1]) : "r"(row) : "memory");
}

__device__ __forceinline__ void load_transposed(unsigned (&to)[4], unsigned row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(row) : "memory");
}

__device__ __forceinline__ void load_transposed(unsigned (&to)[2], unsigned row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(to[0]), "=r"(to[1]) : "r"(row) : "memory");
}

/// Adds to 16x8 sums the product of 16 rows and 8 columns, 32 bytes deep: 16 elements in bf16, 8 in TF32.
__device__ __forceinline__ void multiply(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if BF16
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};" : "=f"(sums[0]), "=f"(sums[1]), "=f"(sums[2]), "=f"(sums[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(sums[0]), "f"(sums[1]), "f"(sums[2]), "f"(sums[3]));
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};" : "=f"(sums[0]), "=f"(sums[1]), "=f"(sums[2]), "=f"(sums[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(sums[0]), "f"(sums[1]), "f"(sums[2]), "f"(sums[3]));
#endif
}
