//! Vectorised sums over channels and taps: a plane of a convolution's output.

use pulp::{Arch, Simd, WithSimd};

use crate::nets::convolution::lanes::{
    BLOCK, LONGEST, WIDTH, each, each_column, each_row, load, rows, store,
};

/// Least number of products in one running sum: one channel under 27 taps. Sums of sums lose fewer
/// digits than one sum of thousands, and they are needed: the U-Net's oracle has a value 9e-7 below
/// the kink of its leaky ReLU, which sums of 108 put above it.
const CHAIN: usize = 27;

/// Sum over channels and taps of input times weight, for each output channel of a block and each
/// position. The order of additions is that of the weights, whatever the processor.
pub(super) struct Correlation<'a> {
    /// Values of an [`InputWindow`](super::window::InputWindow).
    pub(super) values: &'a [f32],
    /// Distance between channels.
    pub(super) channel_pitch: usize,
    pub(super) distances: &'a [usize],
    /// `[channel][tap][BLOCK]`.
    pub(super) weights: &'a [[f32; BLOCK]],
    /// Output channels in use in the block.
    pub(super) outputs: usize,
    /// Number of positions.
    pub(super) length: usize,
    /// `[BLOCK][row]`, where `row` is the length rounded up to [`LONGEST`].
    pub(super) into: &'a mut [f32],
}

impl Correlation<'_> {
    /// Computes the sums with the best instructions of this processor.
    pub(super) fn run(self) {
        Arch::new().dispatch(self);
    }

    #[inline(always)]
    fn sum_tile<S: Simd, const ROWS: usize, const COLUMNS: usize>(
        &mut self,
        simd: S,
        from: usize,
        at: usize,
    ) {
        let zero = simd.splat_f32s(0.0);
        let row = self.length.next_multiple_of(LONGEST);
        let taps = self.distances.len();
        let together = CHAIN.div_ceil(taps);
        let mut channel = at;
        for (part, weights) in self.weights.chunks(together * taps).enumerate() {
            let mut sums = [[zero; COLUMNS]; ROWS];
            for weights in weights.chunks_exact(taps) {
                for (distance, weights) in self.distances.iter().zip(weights) {
                    let place = channel + distance;
                    let read = &self.values[place..place + COLUMNS * S::F32_LANES];
                    let mut vectors = [zero; COLUMNS];
                    each_column!(COLUMN, {
                        vectors[COLUMN] = load::<S>(read, COLUMN * S::F32_LANES);
                    });
                    each_row!(ROW, {
                        let weight = simd.splat_f32s(weights[from + ROW]);
                        each_column!(COLUMN, {
                            let sum = sums[ROW][COLUMN];
                            sums[ROW][COLUMN] = simd.mul_add_e_f32s(weight, vectors[COLUMN], sum);
                        });
                    });
                }
                channel += self.channel_pitch;
            }
            each_row!(ROW, {
                each_column!(COLUMN, {
                    let place = (from + ROW) * row + at + COLUMN * S::F32_LANES;
                    let mut sum = sums[ROW][COLUMN];
                    if part > 0 {
                        sum = simd.add_f32s(load::<S>(self.into, place), sum);
                    }
                    store::<S>(self.into, place, sum);
                });
            });
        }
    }

    #[inline(always)]
    fn sum_tiles<S: Simd, const ROWS: usize>(&mut self, simd: S) {
        let mut from = 0;
        while from < self.outputs {
            let mut at = 0;
            while at < self.length {
                match (self.length - at).div_ceil(S::F32_LANES) {
                    1 => self.sum_tile::<S, ROWS, 1>(simd, from, at),
                    2 => self.sum_tile::<S, ROWS, 2>(simd, from, at),
                    _ => self.sum_tile::<S, ROWS, WIDTH>(simd, from, at),
                }
                at += WIDTH * S::F32_LANES;
            }
            from += ROWS;
        }
    }
}

impl WithSimd for Correlation<'_> {
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

    /// More than one chain.
    const CHANNELS: usize = 50;
    const PITCH: usize = 200;
    const DISTANCES: [usize; 5] = [0, 1, 2, 11, 30];
    /// No multiple of any vector.
    const LENGTH: usize = 131;
    const ROW: usize = LENGTH.next_multiple_of(LONGEST);

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 7919) % 1009) as f32 / 500.0 - 1.0).collect()
    }

    fn correlated<S: Simd>(simd: S, outputs: usize) -> Vec<f32> {
        let values = numbers(CHANNELS * PITCH);
        let weights: Vec<[f32; BLOCK]> =
            numbers(CHANNELS * DISTANCES.len() * BLOCK).as_chunks().0.to_vec();
        let mut into = vec![0.0; BLOCK * ROW];
        simd.vectorize(Correlation {
            values: &values,
            channel_pitch: PITCH,
            distances: &DISTANCES,
            weights: &weights,
            outputs,
            length: LENGTH,
            into: &mut into,
        });
        for output in 0..outputs {
            for place in 0..LENGTH {
                let mut sum = 0.0;
                for (index, weights) in weights.iter().enumerate() {
                    let (channel, tap) = (index / DISTANCES.len(), index % DISTANCES.len());
                    let read = values[channel * PITCH + place + DISTANCES[tap]];
                    sum += f64::from(read) * f64::from(weights[output]);
                }
                let error = (f64::from(into[output * ROW + place]) - sum).abs();
                assert!(error < 1e-5, "output {output}, place {place}: {error}");
            }
        }
        let rows = into.chunks(ROW).take(outputs);
        rows.flat_map(|row| row[..LENGTH].to_vec()).collect()
    }

    #[test]
    fn every_processor_gets_the_sums_in_one_order() {
        for outputs in [1, 4, 5, BLOCK] {
            correlated(Scalar::new(), outputs);
            #[cfg(target_arch = "x86_64")]
            if let (Some(avx2), Some(avx512)) = (V3::try_new(), V4::try_new()) {
                assert_eq!(correlated(avx512, outputs), correlated(avx2, outputs));
            }
        }
    }
}
