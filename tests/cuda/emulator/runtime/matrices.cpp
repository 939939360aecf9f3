/* Tensor cores: the last lane of a warp to arrive computes for all. */
#include "emulator/matrices.h"
#include <cstring>
#include <immintrin.h>

namespace emulator {

namespace {

float bits_to_f32(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* The hardware does not look at the last 13 bits. */
float cut_to_tf32(uint32_t bits) { return bits_to_f32(bits & ~0x1fffu); }

struct mma_lane { const uint32_t *a, *b; float *sum; };
struct matrix_lane { uint32_t row; uint32_t *loaded; const uint32_t *stored; };

float element_of(const fragment_part &of, int at, void *const *elements)
{
    const char *where = static_cast<const char *>(elements[at % 32]) + at / 32 * of.bytes;
    if (of.bytes == 2) {
        uint16_t bits;
        memcpy(&bits, where, 2);
        return to_f32(bits, of.kind);
    }
    uint32_t bits;
    memcpy(&bits, where, 4);
    return of.kind == number::tf32 ? cut_to_tf32(bits) : bits_to_f32(bits);
}

uint16_t f16_bits(float value) { return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT); }

void set_element(const fragment_part &of, int at, void *const *elements, float value)
{
    char *where = static_cast<char *>(elements[at % 32]) + at / 32 * of.bytes;
    uint16_t half = f16_bits(value);
    if (of.bytes == 2)
        memcpy(where, &half, 2);
    else
        memcpy(where, &value, 4);
}

void all_lanes(const char *what)
{
    if (present() != 0xffffffffu)
        fail("%s by some lanes of a warp only (%08x)", what, present());
}

} // namespace

float to_f32(uint16_t bits, number kind)
{
    return kind == number::bf16 ? bits_to_f32(static_cast<uint32_t>(bits) << 16) : _cvtsh_ss(bits);
}

float round_to_tf32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if ((bits & 0x7f800000u) != 0x7f800000u)
        bits = (bits + 0x1000u) & ~0x1fffu;
    return bits_to_f32(bits);
}

/* PTX ISA, "Matrix Fragments for mma.m16n8k...": lane 4g+t has rows g and g+8. */
void matrix_multiply(int k, number kind, const uint32_t *a, const uint32_t *b, float *sum)
{
    mma_lane mine{ a, b, sum };
    if (!arrive(together::mma, 0xffffffffu, &mine))
        return;
    all_lanes("mma.sync");
    float left[16][16], right[16][8];
    for (unsigned lane = 0; lane < 32; lane++) {
        const mma_lane &of = *static_cast<mma_lane *>(lanes()[lane]);
        int g = static_cast<int>(lane) / 4, t = static_cast<int>(lane) % 4;
        if (kind == number::tf32) {
            for (int one = 0; one < k / 2; one++)
                left[g + 8 * (one & 1)][t + 4 * (one >> 1)] = cut_to_tf32(of.a[one]);
            for (int one = 0; one < k / 4; one++)
                right[t + 4 * one][g] = cut_to_tf32(of.b[one]);
            continue;
        }
        for (int one = 0; one < k / 4; one++)
            for (int high = 0; high < 2; high++)
                left[g + 8 * (one & 1)][2 * t + high + 8 * (one >> 1)] =
                    to_f32(static_cast<uint16_t>(of.a[one] >> 16 * high), kind);
        for (int one = 0; one < k / 8; one++)
            for (int high = 0; high < 2; high++)
                right[2 * t + high + 8 * one][g] = to_f32(static_cast<uint16_t>(of.b[one] >> 16 * high), kind);
    }
    float sums[16][8];
    const auto of_lane = [&](unsigned lane, int one) -> float & { return sums[lane / 4 + 8 * (one >> 1)][2 * (lane % 4) + (one & 1)]; };
    for (unsigned lane = 0; lane < 32; lane++)
        for (int one = 0; one < 4; one++)
            of_lane(lane, one) = static_cast<mma_lane *>(lanes()[lane])->sum[one];
    for (int row = 0; row < 16; row++)
        for (int inner = 0; inner < k; inner++)
            for (int column = 0; column < 8; column++)
                sums[row][column] += left[row][inner] * right[inner][column];
    for (unsigned lane = 0; lane < 32; lane++)
        for (int one = 0; one < 4; one++)
            static_cast<mma_lane *>(lanes()[lane])->sum[one] = of_lane(lane, one);
    release();
}

void load_matrices(int count, bool transposed, uint32_t row, uint32_t *registers)
{
    matrix_lane mine{ row, registers, nullptr };
    if (static_cast<int>(lane_index()) < 8 * count) {
        if (row % 16)
            fail("misaligned: a row of ldmatrix begins at 0x%x, no multiple of 16", row);
        check(shared_pointer(row), 16, touch::read);
    }
    if (!arrive(together::matrix_load, 0xffffffffu, &mine))
        return;
    all_lanes("ldmatrix");
    for (int matrix = 0; matrix < count; matrix++) {
        uint16_t rows[8][8];
        for (int one = 0; one < 8; one++)
            memcpy(rows[one], shared_pointer(static_cast<matrix_lane *>(lanes()[8 * matrix + one])->row), 16);
        for (int lane = 0; lane < 32; lane++) {
            int g = lane / 4, t = 2 * (lane % 4);
            uint16_t low = transposed ? rows[t][g] : rows[g][t], high = transposed ? rows[t + 1][g] : rows[g][t + 1];
            static_cast<matrix_lane *>(lanes()[lane])->loaded[matrix] = low | static_cast<uint32_t>(high) << 16;
        }
    }
    release();
}

void store_matrices(int count, bool transposed, uint32_t row, const uint32_t *registers)
{
    matrix_lane mine{ row, nullptr, registers };
    if (static_cast<int>(lane_index()) < 8 * count) {
        if (row % 16)
            fail("misaligned: a row of stmatrix begins at 0x%x, no multiple of 16", row);
        check(shared_pointer(row), 16, touch::write);
    }
    if (!arrive(together::matrix_store, 0xffffffffu, &mine))
        return;
    all_lanes("stmatrix");
    for (int matrix = 0; matrix < count; matrix++) {
        uint16_t rows[8][8];
        for (int lane = 0; lane < 32; lane++) {
            int g = lane / 4, t = 2 * (lane % 4);
            uint32_t both = static_cast<matrix_lane *>(lanes()[lane])->stored[matrix];
            (transposed ? rows[t][g] : rows[g][t]) = static_cast<uint16_t>(both);
            (transposed ? rows[t + 1][g] : rows[g][t + 1]) = static_cast<uint16_t>(both >> 16);
        }
        for (int one = 0; one < 8; one++)
            memcpy(shared_pointer(static_cast<matrix_lane *>(lanes()[8 * matrix + one])->row), rows[one], 16);
    }
    release();
}

void load_fragment(const fragment_part &to, const void *from, unsigned pitch, bool by_columns)
{
    int total = to.rows * to.columns;
    for (int one = 0; one < total / 32; one++) {
        int at = one * 32 + static_cast<int>(lane_index());
        size_t row = at / to.columns, column = at % to.columns;
        const char *source = static_cast<const char *>(from) + (by_columns ? column * pitch + row : row * pitch + column) * to.bytes;
        check(source, to.bytes, touch::read);
        memcpy(static_cast<char *>(to.elements) + one * to.bytes, source, to.bytes);
    }
    /* All lanes have to be here, as on a card. */
    if (arrive(together::fragment, 0xffffffffu, nullptr)) {
        all_lanes("load_matrix_sync");
        release();
    }
}

void store_fragment(void *to, const fragment_part &from, unsigned pitch, bool by_columns)
{
    int total = from.rows * from.columns;
    for (int one = 0; one < total / 32; one++) {
        int at = one * 32 + static_cast<int>(lane_index());
        size_t row = at / from.columns, column = at % from.columns;
        char *target = static_cast<char *>(to) + (by_columns ? column * pitch + row : row * pitch + column) * from.bytes;
        check(target, from.bytes, touch::write);
        memcpy(target, static_cast<char *>(from.elements) + one * from.bytes, from.bytes);
    }
    if (arrive(together::fragment, 0xffffffffu, nullptr)) {
        all_lanes("store_matrix_sync");
        release();
    }
}

void multiply_fragments(const fragment_part &d, const fragment_part &a, const fragment_part &b, const fragment_part &c)
{
    const fragment_part *mine[4] = { &d, &a, &b, &c };
    if (!arrive(together::fragment, 0xffffffffu, mine))
        return;
    all_lanes("mma_sync");
    void *elements[4][32];
    for (int lane = 0; lane < 32; lane++)
        for (int one = 0; one < 4; one++)
            elements[one][lane] = static_cast<const fragment_part **>(lanes()[lane])[one]->elements;
    int m = a.rows, n = b.columns, k = a.columns;
    float left[32][32], right[32][32], sums[32][32];
    for (int at = 0; at < m * k; at++)
        left[at / k][at % k] = element_of(a, at, elements[1]);
    for (int at = 0; at < k * n; at++)
        right[at / n][at % n] = element_of(b, at, elements[2]);
    for (int row = 0; row < m; row++) {
        for (int column = 0; column < n; column++)
            sums[row][column] = element_of(c, row * n + column, elements[3]);
        for (int inner = 0; inner < k; inner++)
            for (int column = 0; column < n; column++)
                sums[row][column] += left[row][inner] * right[inner][column];
    }
    for (int at = 0; at < m * n; at++)
        set_element(d, at, elements[0], sums[at / n][at % n]);
    release();
}

} // namespace emulator
