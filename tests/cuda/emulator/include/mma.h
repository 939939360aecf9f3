/* nvcuda::wmma */
#pragma once
#include "emulator.h"

namespace nvcuda { namespace wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };
namespace precision { struct tf32 {}; }

template <class T> struct element { using type = T; static constexpr emulator::number kind = emulator::number::f32; };
template <> struct element<__half> { using type = __half; static constexpr emulator::number kind = emulator::number::f16; };
template <> struct element<__nv_bfloat16> { using type = __nv_bfloat16; static constexpr emulator::number kind = emulator::number::bf16; };
template <> struct element<precision::tf32> { using type = float; static constexpr emulator::number kind = emulator::number::tf32; };

template <class Use, int M, int N, int K> struct extent { static constexpr int rows = M, columns = N; };
template <int M, int N, int K> struct extent<matrix_a, M, N, K> { static constexpr int rows = M, columns = K; };
template <int M, int N, int K> struct extent<matrix_b, M, N, K> { static constexpr int rows = K, columns = N; };

template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment {
    using element_type = typename element<T>::type;
    static constexpr int rows = extent<Use, M, N, K>::rows, columns = extent<Use, M, N, K>::columns;
    static constexpr int num_elements = rows * columns / 32;
    element_type x[num_elements];
    emulator::fragment_part part() const
    { return { const_cast<element_type *>(x), rows, columns, static_cast<int>(sizeof(element_type)), element<T>::kind }; }
};

template <class Use, int M, int N, int K, class T, class Layout, class E>
void load_matrix_sync(fragment<Use, M, N, K, T, Layout> &to, const E *from, unsigned pitch)
{
    static_assert(sizeof(E) == sizeof(to.x[0]));
    emulator::load_fragment(to.part(), from, pitch, std::is_same_v<Layout, col_major>);
}

template <int M, int N, int K, class T, class E>
void load_matrix_sync(fragment<accumulator, M, N, K, T> &to, const E *from, unsigned pitch, layout_t layout)
{
    static_assert(sizeof(E) == sizeof(to.x[0]));
    emulator::load_fragment(to.part(), from, pitch, layout == mem_col_major);
}

template <int M, int N, int K, class T, class E>
void store_matrix_sync(E *to, const fragment<accumulator, M, N, K, T> &from, unsigned pitch, layout_t layout)
{
    static_assert(sizeof(E) == sizeof(from.x[0]));
    emulator::store_fragment(to, from.part(), pitch, layout == mem_col_major);
}

template <class Use, int M, int N, int K, class T, class Layout, class V>
void fill_fragment(fragment<Use, M, N, K, T, Layout> &to, V value)
{
    for (int one = 0; one < to.num_elements; one++)
        to.x[one] = value;
}

template <int M, int N, int K, class A, class LayoutA, class B, class LayoutB, class D, class C>
void mma_sync(fragment<accumulator, M, N, K, D> &d, const fragment<matrix_a, M, N, K, A, LayoutA> &a,
              const fragment<matrix_b, M, N, K, B, LayoutB> &b, const fragment<accumulator, M, N, K, C> &c)
{
    emulator::multiply_fragments(d.part(), a.part(), b.part(), c.part());
}

static inline float __float_to_tf32(float value) { return emulator::round_to_tf32(value); }

} } // namespace nvcuda::wmma
