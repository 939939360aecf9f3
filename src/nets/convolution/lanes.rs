//! Sums of products in the processor's vector registers.
//!
//! A few outputs by a few vectors stay in registers from the first tap of the first channel to the
//! last tap of the last, so that a value that is read meets several fused multiply-adds. The loops
//! over registers are unrolled by a macro: a compiler that does not unroll them (development builds
//! optimise little) would put the sums into memory.

use pulp::Simd;

/// Output channels in a block.
pub(super) const BLOCK: usize = 8;
/// Vectors, or taps, of a block in registers.
pub(super) const WIDTH: usize = 3;
/// Lanes of the longest vector.
pub(super) const LONGEST: usize = 16;

/// `$body` for each literal below `$count`, as the constant `$index`.
macro_rules! each {
    ($index:ident below $count:ident of $($value:literal)* => $body:block) => {
        $({
            const $index: usize = $value;
            if $index < $count $body
        })*
    };
}

/// `$body` for each register of `ROWS` by `COLUMNS`.
macro_rules! each_row {
    ($row:ident, $body:block) => { each!($row below ROWS of 0 1 2 3 4 5 6 7 => $body) };
}
macro_rules! each_column {
    ($column:ident, $body:block) => { each!($column below COLUMNS of 0 1 2 => $body) };
}

#[inline(always)]
pub(super) fn load<S: Simd>(values: &[f32], at: usize) -> S::f32s {
    S::as_simd_f32s(&values[at..at + S::F32_LANES]).0[0]
}

#[inline(always)]
pub(super) fn store<S: Simd>(values: &mut [f32], at: usize, vector: S::f32s) {
    S::as_mut_simd_f32s(&mut values[at..at + S::F32_LANES]).0[0] = vector;
}

/// Output channels of a block that fit into registers at once: 24 sums where there are 32
/// registers, 12 where there are 16.
pub(super) const fn rows<S: Simd>() -> usize {
    if S::F32_LANES == LONGEST { BLOCK } else { BLOCK / 2 }
}

pub(super) use {each, each_column, each_row};
