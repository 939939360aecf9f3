//! Sums and extremes over the values of a patch, in an order that no machine changes.

/// Values summed side by side: two vector registers of the narrowest machine.
const LANES: usize = 16;

/// Values summed in single precision before their sum goes into double precision.
const BLOCK: usize = 1024;

/// Mean, standard deviation and range of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PatchStatistics {
    pub(super) mean: f64,
    /// Standard deviation with n - 1, as PyTorch's `std`.
    pub(super) sd: f64,
    pub(super) least: f32,
    pub(super) greatest: f32,
}

/// Sums in the making.
struct RunningSums {
    count: usize,
    sum: f64,
    squares: f64,
    least: f32,
    greatest: f32,
}

impl PatchStatistics {
    /// Measures values, at least one.
    pub(super) fn of_values(values: &[f32]) -> Self {
        let mut sums = RunningSums::new();
        values.chunks(BLOCK).for_each(|block| sums.add_block(block));
        sums.statistics()
    }

    /// Replaces each value by `map` of it, and measures the results.
    #[inline(always)]
    pub(super) fn of_mapped(values: &mut [f32], map: impl Fn(f32) -> f32) -> Self {
        let mut sums = RunningSums::new();
        for block in values.chunks_mut(BLOCK) {
            block.iter_mut().for_each(|value| *value = map(*value));
            sums.add_block(block);
        }
        sums.statistics()
    }
}

impl RunningSums {
    const fn new() -> Self {
        let (least, greatest) = (f32::INFINITY, f32::NEG_INFINITY);
        Self { count: 0, sum: 0.0, squares: 0.0, least, greatest }
    }

    fn add_block(&mut self, block: &[f32]) {
        let [mut sum, mut squares] = [[0.0_f32; LANES]; 2];
        let mut least = [f32::INFINITY; LANES];
        let mut greatest = [f32::NEG_INFINITY; LANES];
        let (groups, rest) = block.as_chunks::<LANES>();
        for group in groups {
            for lane in 0..LANES {
                let value = group[lane];
                sum[lane] += value;
                squares[lane] += value * value;
                // `min` would look for NaN, which no patch holds.
                least[lane] = if value < least[lane] { value } else { least[lane] };
                greatest[lane] = if value > greatest[lane] { value } else { greatest[lane] };
            }
        }
        for (lane, value) in rest.iter().enumerate() {
            sum[lane] += value;
            squares[lane] += value * value;
            least[lane] = least[lane].min(*value);
            greatest[lane] = greatest[lane].max(*value);
        }
        self.count += block.len();
        for lane in 0..LANES {
            self.sum += f64::from(sum[lane]);
            self.squares += f64::from(squares[lane]);
            self.least = self.least.min(least[lane]);
            self.greatest = self.greatest.max(greatest[lane]);
        }
    }

    fn statistics(&self) -> PatchStatistics {
        let count = self.count as f64;
        let mean = self.sum / count;
        let spread = (self.squares - self.sum * mean).max(0.0);
        let sd = (spread / (count - 1.0).max(1.0)).sqrt();
        PatchStatistics { mean, sd, least: self.least, greatest: self.greatest }
    }
}

/// Marks the values that are not 0 with 1.
pub(super) fn mark_tissue(values: &[f32], tissue: &mut Vec<u8>) {
    tissue.clear();
    tissue.extend(values.iter().map(|value| u8::from(*value != 0.0)));
}

/// Sets values to 0 that are not marked.
pub(super) fn keep_tissue(values: &mut [f32], tissue: &[u8]) {
    for (value, mark) in values.iter_mut().zip(tissue) {
        *value = f32::from_bits(value.to_bits() & 0_u32.wrapping_sub(u32::from(*mark)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_the_textbook_at_any_length() {
        for count in [1_usize, 7, 16, 1024, 5000] {
            let values: Vec<f32> =
                (0..count).map(|at| ((at * 37 % 101) as f32 - 30.0) / 10.0).collect();
            let n = count as f64;
            let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / n;
            let squares: f64 = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum();
            let sd = (squares / (n - 1.0).max(1.0)).sqrt();
            let found = PatchStatistics::of_values(&values);
            assert!(
                (found.mean - mean).abs() < 1e-6 && (found.sd - sd).abs() < 1e-5,
                "{count} {found:?}"
            );
            assert_eq!(found.least, values.iter().copied().fold(f32::INFINITY, f32::min));
            assert_eq!(found.greatest, values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }

    #[test]
    fn background_is_zero_again_whatever_a_filter_made_of_it() {
        let mut tissue = Vec::new();
        mark_tissue(&[0.0, 1.5, -2.0, 0.0], &mut tissue);
        let mut values = [3.0, 4.0, 5.0, f32::NAN];
        keep_tissue(&mut values, &tissue);
        assert_eq!(values, [0.0, 4.0, 5.0, 0.0]);
    }
}
