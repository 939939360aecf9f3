//! Vectorised sums over positions, tap by tap: the gradient of a kernel.

use pulp::{Arch, Simd, WithSimd};

use crate::nets::convolution::lanes::{
    BLOCK, LONGEST, WIDTH, each, each_column, each_row, load, rows, store,
};

/// Positions of each output channel whose products with all taps are summed before the next ones:
/// what stays in the first-level cache.
const STRETCH: usize = 512;

/// Sum over positions of input times output gradient, lane by lane, for each output channel of a
/// block and each tap.
pub(super) struct Products<'a> {
    /// Values of one channel of an [`InputWindow`](super::window::InputWindow), and the slack
    /// behind it.
    pub(super) values: &'a [f32],
    pub(super) distances: &'a [usize],
    /// Output gradient `[BLOCK][row]`, where `row` is the length rounded up to [`LONGEST`], zero
    /// where nothing is to be added.
    pub(super) slopes: &'a [f32],
    /// Output channels in use in the block.
    pub(super) outputs: usize,
    /// Number of positions.
    pub(super) length: usize,
    /// Memory for sums by lane, `[tap][BLOCK][LONGEST]`; shorter vectors use the first lanes.
    pub(super) lanes: &'a mut [f32],
    /// Sums `[tap][BLOCK]`, added to.
    pub(super) sums: &'a mut [f32],
}

impl Products<'_> {
    /// Computes the sums with the best instructions of this processor.
    pub(super) fn run(self) {
        Arch::new().dispatch(self);
    }

    /// Adds the products with taps `tap`, `tap + 1`, ... over positions `start..end`.
    #[inline(always)]
    fn sum_tile<S: Simd, const ROWS: usize, const COLUMNS: usize>(
        &mut self,
        simd: S,
        from: usize,
        tap: usize,
        [start, end]: [usize; 2],
    ) {
        let zero = simd.splat_f32s(0.0);
        let row = self.length.next_multiple_of(LONGEST);
        let mut sums = [[zero; COLUMNS]; ROWS];
        let mut reads = [&self.values[..0]; COLUMNS];
        let mut slopes = [&self.slopes[..0]; ROWS];
        let stretch = (end - start).next_multiple_of(S::F32_LANES);
        each_column!(COLUMN, {
            reads[COLUMN] = &self.values[self.distances[tap + COLUMN] + start..][..stretch];
        });
        each_row!(ROW, {
            slopes[ROW] = &self.slopes[(from + ROW) * row + start..][..stretch];
            each_column!(COLUMN, {
                if start > 0 {
                    let place = ((tap + COLUMN) * BLOCK + from + ROW) * LONGEST;
                    sums[ROW][COLUMN] = load::<S>(self.lanes, place);
                }
            });
        });
        let mut at = 0;
        while at < stretch {
            let mut vectors = [zero; COLUMNS];
            each_column!(COLUMN, {
                vectors[COLUMN] = load::<S>(reads[COLUMN], at);
            });
            each_row!(ROW, {
                let slope = load::<S>(slopes[ROW], at);
                each_column!(COLUMN, {
                    let sum = sums[ROW][COLUMN];
                    sums[ROW][COLUMN] = simd.mul_add_e_f32s(slope, vectors[COLUMN], sum);
                });
            });
            at += S::F32_LANES;
        }
        each_row!(ROW, {
            each_column!(COLUMN, {
                let place = ((tap + COLUMN) * BLOCK + from + ROW) * LONGEST;
                store::<S>(self.lanes, place, sums[ROW][COLUMN]);
            });
        });
    }

    #[inline(always)]
    fn sum_tiles<S: Simd, const ROWS: usize>(&mut self, simd: S) {
        let mut start = 0;
        while start < self.length {
            let stretch = [start, (start + STRETCH).min(self.length)];
            let mut from = 0;
            while from < self.outputs {
                let mut tap = 0;
                while tap < self.distances.len() {
                    match self.distances.len() - tap {
                        1 => self.sum_tile::<S, ROWS, 1>(simd, from, tap, stretch),
                        2 => self.sum_tile::<S, ROWS, 2>(simd, from, tap, stretch),
                        _ => self.sum_tile::<S, ROWS, WIDTH>(simd, from, tap, stretch),
                    }
                    tap += WIDTH;
                }
                from += ROWS;
            }
            start += STRETCH;
        }
        for (place, sum) in self.sums.iter_mut().enumerate() {
            if place % BLOCK < self.outputs {
                *sum += simd.reduce_sum_f32s(load::<S>(self.lanes, place * LONGEST));
            }
        }
    }
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if rows::<S>() == BLOCK {
            self.sum_tiles::<S, BLOCK>(simd);
        } else {
            self.sum_tiles::<S, { BLOCK / 2 }>(simd);
        }
    }
}

#[cfg(test)]
mod tests {
    use pulp::Scalar;
    #[cfg(target_arch = "x86_64")]
    use pulp::x86::{V3, V4};

    use super::*;

    const DISTANCES: [usize; 5] = [0, 1, 2, 11, 30];
    /// No multiple of any vector, and longer than a stretch.
    const LENGTH: usize = STRETCH + 71;
    const ROW: usize = LENGTH.next_multiple_of(LONGEST);

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 7919) % 1009) as f32 / 500.0 - 1.0).collect()
    }

    fn multiplied<S: Simd>(simd: S, outputs: usize) {
        let values = numbers(ROW + 64);
        let mut slopes = numbers(BLOCK * ROW);
        for row in slopes.chunks_mut(ROW) {
            row[LENGTH..].fill(0.0);
        }
        // What was there before is not read, or added to.
        let mut lanes = vec![f32::NAN; DISTANCES.len() * BLOCK * LONGEST];
        let mut sums = vec![1.0; DISTANCES.len() * BLOCK];
        simd.vectorize(Products {
            values: &values,
            distances: &DISTANCES,
            slopes: &slopes,
            outputs,
            length: LENGTH,
            lanes: &mut lanes,
            sums: &mut sums,
        });
        for (tap, distance) in DISTANCES.into_iter().enumerate() {
            for output in 0..outputs {
                let terms = slopes[output * ROW..][..LENGTH].iter().zip(&values[distance..]);
                let sum: f64 = terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let error = (f64::from(sums[tap * BLOCK + output]) - 1.0 - sum).abs();
                assert!(error < 1e-4, "output {output}, tap {tap}: {error}");
            }
        }
    }

    #[test]
    fn every_processor_gets_the_sums() {
        for outputs in [1, 4, 5, BLOCK] {
            multiplied(Scalar::new(), outputs);
            #[cfg(target_arch = "x86_64")]
            {
                V3::try_new().into_iter().for_each(|simd| multiplied(simd, outputs));
                V4::try_new().into_iter().for_each(|simd| multiplied(simd, outputs));
            }
        }
    }
}
