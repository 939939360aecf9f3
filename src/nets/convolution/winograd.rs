//! Minimal filtering F(2, 3) along the slow axis: two output planes of a correlation from four products of planes in place of six
//! (Lavin and Gray 2016, arXiv 1509.09308, section 4.1).
//!
//! With input planes `d0..d3` and weights `g0..g2` along the axis, the products are `(d0 - d2) g0`, `(d1 + d2) (g0 + g1 + g2) / 2`,
//! `(d2 - d1) (g0 - g1 + g2) / 2` and `(d1 - d3) g2`, each a correlation in the plane; the outputs are the first three's sum, and the second
//! less the third and the fourth. The gradient of the weights is that of these formulas.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::nets::convolution::geometry::ConvGeometry;
use crate::nets::convolution::window::InputWindow;

/// Products of planes for a pair of output planes.
pub(super) const PRODUCTS: usize = 4;
/// Output planes of a pair.
pub(super) const PAIR: usize = 2;
/// Taps along the slow axis.
pub(super) const TAPS: usize = 3;
/// Positions in a plane of the output, at least: with fewer, the larger weights cost more than the products they save.
const LEAST_POSITIONS: usize = 16;
/// Input planes of each product, and true where the second is added, false where it is subtracted.
const INPUTS: [(usize, usize, bool); PRODUCTS] =
    [(0, 2, false), (1, 2, true), (2, 1, false), (1, 3, false)];

/// Outputs of a pair that each product adds to, the even and the odd one, and true where it is added to the odd one, false where
/// it is subtracted.
const OUTPUTS: [(bool, bool, bool); PRODUCTS] =
    [(true, false, true), (true, true, true), (true, true, false), (false, true, false)];

/// True where pairs of planes are cheaper than planes one by one.
pub(super) fn saves_products(lattice: &ConvGeometry) -> bool {
    let [slow, middle, fast] = lattice;
    let strides = lattice.iter().all(|axis| axis.input_stride == 1 && axis.output_stride == 1);
    let positions = middle.outputs * fast.outputs;
    strides && slow.taps == TAPS && slow.outputs >= PAIR && positions >= LEAST_POSITIONS
}

/// Weights of the products, from those of the taps along the slow axis.
pub(super) fn product_weights([first, second, third]: [f32; TAPS]) -> [f32; PRODUCTS] {
    let ends = first + third;
    [first, 0.5 * (ends + second), 0.5 * (ends - second), third]
}

/// Gradient of the taps' weights, from those of the products' weights.
pub(super) fn tap_gradients([a, b, c, d]: [f32; PRODUCTS]) -> [f32; TAPS] {
    let ends = 0.5 * (b + c);
    [a + ends, 0.5 * (b - c), ends + d]
}

/// Offset of each tap of a plane from a position, in the layout of [`InputWindow`].
pub(super) fn plane_distances(lattice: &ConvGeometry, into: &mut Vec<usize>) {
    let [_, middle, fast] = lattice;
    let pitch = InputWindow::row_pitch(lattice);
    into.clear();
    into.extend((0..middle.taps * fast.taps).map(|tap| tap / fast.taps * pitch + tap % fast.taps));
}

/// Lays out the inputs of some products for a pair of planes of one channel, each in the layout of a plane of [`InputWindow`].
pub(super) struct ProductInputs<'a> {
    pub(super) lattice: &'a ConvGeometry,
    /// Volume of the channel.
    pub(super) source: &'a [f32],
    /// First output plane of the pair.
    pub(super) plane: usize,
    pub(super) products: Range<usize>,
    /// From the first product's plane on.
    pub(super) target: &'a mut [f32],
    /// Distance between the planes of two products.
    pub(super) pitch: usize,
}

impl ProductInputs<'_> {
    pub(super) fn lay_out(self) {
        Arch::new().dispatch(self);
    }

    fn input_plane(&self, number: usize) -> Option<&[f32]> {
        let [slow, middle, fast] = self.lattice;
        let plane = usize::try_from(slow.input_offset + (self.plane + number) as isize).ok()?;
        let size = middle.source * fast.source;
        (plane < slow.source).then(|| &self.source[plane * size..][..size])
    }
}

impl WithSimd for ProductInputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _simd: S) {
        let target = std::mem::take(&mut self.target);
        let [_, middle, fast] = self.lattice;
        let row_pitch = InputWindow::row_pitch(self.lattice);
        let rows = middle.outputs + middle.tap_reach();
        let inside = middle.read_positions(0, rows);
        let places = fast.read_positions(0, row_pitch);
        let read = fast.input_offset.strict_add_unsigned(places.start) as usize;
        let planes = [0, 1, 2, 3].map(|number| self.input_plane(number));
        // Row by row: what the products share is read once from beyond the first-level cache.
        for row in 0..rows {
            for (at, product) in self.products.clone().enumerate() {
                let target = &mut target[at * self.pitch + row * row_pitch..][..row_pitch];
                if !inside.contains(&row) {
                    target.fill(0.0);
                    continue;
                }
                target[..places.start].fill(0.0);
                target[places.end..].fill(0.0);
                let from =
                    middle.input_offset.strict_add_unsigned(row) as usize * fast.source + read;
                let reads = from..from + places.len();
                let (first, second, is_sum) = INPUTS[product];
                let inputs = [planes[first], planes[second]]
                    .map(|plane| plane.map(|plane| &plane[reads.clone()]));
                combine_rows(inputs, is_sum, &mut target[places.clone()]);
            }
        }
    }
}

/// Writes the sum or difference of two rows; one that is not there is zero.
#[inline(always)]
fn combine_rows(rows: [Option<&[f32]>; 2], is_sum: bool, target: &mut [f32]) {
    match rows {
        [Some(first), Some(second)] => {
            let values = target.iter_mut().zip(first.iter().zip(second));
            if is_sum {
                values.for_each(|(value, (first, second))| *value = first + second);
            } else {
                values.for_each(|(value, (first, second))| *value = first - second);
            }
        }
        [Some(first), None] => target.copy_from_slice(first),
        [None, Some(second)] => {
            let sign = if is_sum { 1.0 } else { -1.0 };
            target.iter_mut().zip(second).for_each(|(value, second)| *value = sign * second);
        }
        [None, None] => target.fill(0.0),
    }
}

/// Sums of the products that are the output planes of one channel.
pub(super) struct PairSums<'a> {
    pub(super) lattice: &'a ConvGeometry,
    /// Products of some pairs, in the layout of [`InputWindow`].
    pub(super) products: [&'a [f32]; PRODUCTS],
    /// Output planes of the pairs; the last pair may have one.
    pub(super) target: &'a mut [f32],
    /// Rows and columns of an output plane.
    pub(super) extent: [usize; 2],
}

impl PairSums<'_> {
    pub(super) fn write_planes(self) {
        Arch::new().dispatch(self);
    }
}

impl WithSimd for PairSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let [_, middle, fast] = self.lattice;
        let [height, width] = self.extent;
        for (pair, target) in self.target.chunks_mut(PAIR * height * width).enumerate() {
            let (even, odd) = target.split_at_mut(height * width);
            for row in 0..middle.outputs {
                let at = pair * InputWindow::plane_pitch(self.lattice)
                    + row * InputWindow::row_pitch(self.lattice);
                let [a, b, c, d] = self.products.map(|product| &product[at..at + fast.outputs]);
                let to = (middle.output_offset + row) * width + fast.output_offset;
                let products = a.iter().zip(b).zip(c);
                for (even, ((a, b), c)) in even[to..][..fast.outputs].iter_mut().zip(products) {
                    *even = a + b + c;
                }
                if odd.is_empty() {
                    continue;
                }
                let products = b.iter().zip(c).zip(d);
                for (odd, ((b, c), d)) in odd[to..][..fast.outputs].iter_mut().zip(products) {
                    *odd = b - c - d;
                }
            }
        }
    }
}

/// Lays out the gradient of one product of some pairs for one channel, in the layout of [`InputWindow`].
pub(super) struct ProductSlopes<'a> {
    pub(super) lattice: &'a ConvGeometry,
    /// Gradient of the channel's output.
    pub(super) slopes: &'a [f32],
    pub(super) product: usize,
    /// Output planes of the pairs; the last pair may have one.
    pub(super) planes: Range<usize>,
    pub(super) target: &'a mut [f32],
}

impl ProductSlopes<'_> {
    pub(super) fn lay_out(self) {
        Arch::new().dispatch(self);
    }
}

impl WithSimd for ProductSlopes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let [_, height, width] = self.lattice.map(|axis| axis.outputs);
        let (to_even, to_odd, is_sum) = OUTPUTS[self.product];
        let slopes =
            &self.slopes[self.planes.start * height * width..self.planes.end * height * width];
        for (pair, slopes) in slopes.chunks(PAIR * height * width).enumerate() {
            let (even, odd) = slopes.split_at(height * width);
            for row in 0..height {
                let at = pair * InputWindow::plane_pitch(self.lattice)
                    + row * InputWindow::row_pitch(self.lattice);
                let rows = row * width..(row + 1) * width;
                let slopes = [
                    to_even.then(|| &even[rows.clone()]),
                    (to_odd && !odd.is_empty()).then(|| &odd[rows]),
                ];
                combine_rows(slopes, is_sum, &mut self.target[at..at + width]);
            }
        }
    }
}
