/* What tensor cores do, and the moves of 8x8 matrices that feed them. All are operations of a whole warp. */
#pragma once
#include "emulator/threads.h"

namespace emulator {

enum class number : int { f16, bf16, tf32, f32 };

float to_f32(uint16_t bits, number kind);
/* Nearest, ties away from zero, as cvt.rna.tf32.f32 has it. */
float round_to_tf32(float value);

/* mma.sync.m16n8kK with sums in f32: the registers of one lane. `sum` is C, and D afterwards. */
void matrix_multiply(int k, number kind, const uint32_t *a, const uint32_t *b, float *sum);
/* ldmatrix and stmatrix of `count` matrices of 8x8 elements of 16 bits; the address is the lane's row. */
void load_matrices(int count, bool transposed, uint32_t row, uint32_t *registers);
void store_matrices(int count, bool transposed, uint32_t row, const uint32_t *registers);

/*
 * wmma: element e of lane l is element e*32+l of the matrix, row by row. (On a card it is otherwise, and not
 * documented; a kernel may not rely on it.)
 */
struct fragment_part {
    void *elements;
    int rows, columns, bytes;
    number kind;
};
void load_fragment(const fragment_part &to, const void *from, unsigned pitch, bool by_columns);
void store_fragment(void *to, const fragment_part &from, unsigned pitch, bool by_columns);
void multiply_fragments(const fragment_part &d, const fragment_part &a, const fragment_part &b, const fragment_part &c);

} // namespace emulator
