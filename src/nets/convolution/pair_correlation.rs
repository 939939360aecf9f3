//! Correlation of pairs of planes, by [`winograd`]'s products.

use std::ops::Range;

use crate::nets::convolution::correlation::Correlation;
use crate::nets::convolution::geometry::ConvGeometry;
use crate::nets::convolution::lanes::{BLOCK, LONGEST};
use crate::nets::convolution::window::{BAND_BYTES, InputWindow, SLACK};
use crate::nets::convolution::winograd::{self, PAIR, PRODUCTS, PairSums, ProductInputs};

/// Buffers of a thread for one work item.
#[derive(Default)]
pub(super) struct PairScratch {
    inputs: Vec<f32>,
    products: Vec<f32>,
    distances: Vec<usize>,
}

/// Correlation of pairs of planes of one sample with blocks of channels.
#[derive(Clone, Copy)]
pub(super) struct PairCorrelation<'a> {
    pub(super) lattice: ConvGeometry,
    /// Channels of one group.
    pub(super) source: &'a [f32],
    pub(super) channels: usize,
    /// Rows and columns of an output plane.
    pub(super) extent: [usize; 2],
}

impl PairCorrelation<'_> {
    /// Correlates output planes `planes`, the first of them even, into `target`, which has these planes of each channel of some
    /// blocks; `weights` gives a block's, `[product][channel][tap of a plane][BLOCK]`.
    pub(super) fn run<'a>(
        &self,
        weights: impl Fn(usize) -> &'a [[f32; BLOCK]],
        planes: &Range<usize>,
        target: &mut [&mut [f32]],
        memory: &mut PairScratch,
    ) {
        let [_, middle, _] = self.lattice;
        let row =
            self.channels * PRODUCTS * InputWindow::row_pitch(&self.lattice) * size_of::<f32>();
        let height = InputWindow::band_height(&self.lattice, row);
        let together = BAND_BYTES / (row * (middle.outputs + middle.tap_reach()));
        let together = together.clamp(1, planes.len().div_ceil(PAIR));
        for first in (0..middle.outputs).step_by(height) {
            let mut band = *self;
            band.lattice[1] = middle.restrict_outputs(first..middle.outputs.min(first + height));
            band.run_band(&weights, planes, target, together, memory);
        }
    }

    fn run_band<'a>(
        &self,
        weights: impl Fn(usize) -> &'a [[f32; BLOCK]],
        planes: &Range<usize>,
        target: &mut [&mut [f32]],
        together: usize,
        memory: &mut PairScratch,
    ) {
        let PairScratch { inputs, products, distances } = memory;
        let product_pitch = together * InputWindow::plane_pitch(&self.lattice);
        let input_length = self.channels * PRODUCTS * product_pitch;
        inputs.resize(input_length + SLACK, 0.0);
        // The last row's padding lies behind it.
        inputs[input_length..].fill(0.0);
        winograd::plane_distances(&self.lattice, distances);
        let plane_size = self.extent[0] * self.extent[1];
        for first in planes.clone().step_by(PAIR * together) {
            let part = first..planes.end.min(first + PAIR * together);
            self.lay_out(&part, product_pitch, inputs);
            let length = InputWindow::span_length(&self.lattice, part.len().div_ceil(PAIR));
            let row = length.next_multiple_of(LONGEST);
            products.resize(PRODUCTS * BLOCK * row, 0.0);
            for (number, outputs) in target.chunks_mut(BLOCK).enumerate() {
                let weights = weights(number).chunks_exact(self.channels * distances.len());
                let into = products.chunks_exact_mut(BLOCK * row);
                for (product, (weights, into)) in weights.zip(into).enumerate() {
                    let correlation = Correlation {
                        values: &inputs[product * product_pitch..],
                        channel_pitch: PRODUCTS * product_pitch,
                        distances,
                        weights,
                        outputs: outputs.len(),
                        length,
                        into,
                    };
                    correlation.run();
                }
                for (channel, target) in outputs.iter_mut().enumerate() {
                    let at =
                        |product: usize| &products[(product * BLOCK + channel) * row..][..length];
                    let planes =
                        (first - planes.start) * plane_size..(part.end - planes.start) * plane_size;
                    let target = &mut target[planes];
                    let lattice = &self.lattice;
                    let extent = self.extent;
                    let products = [at(0), at(1), at(2), at(3)];
                    PairSums { lattice, products, target, extent }.write_planes();
                }
            }
        }
    }

    /// Lays out what the products read, `[channel][product][pair][row][column]`.
    fn lay_out(&self, planes: &Range<usize>, product_pitch: usize, inputs: &mut [f32]) {
        let lattice = &self.lattice;
        let volume = lattice.iter().map(|axis| axis.source).product();
        let sources = self.source.chunks_exact(volume);
        for (inputs, source) in inputs.chunks_exact_mut(PRODUCTS * product_pitch).zip(sources) {
            let plane_pitch = InputWindow::plane_pitch(lattice);
            for (pair, plane) in planes.clone().step_by(PAIR).enumerate() {
                let target = &mut inputs[pair * plane_pitch..];
                let products = 0..PRODUCTS;
                ProductInputs { lattice, source, plane, products, target, pitch: product_pitch }
                    .lay_out();
            }
            let behind = planes.len().div_ceil(PAIR) * plane_pitch;
            if behind < product_pitch {
                // What an earlier item left would be the padding of the last row.
                for inputs in inputs.chunks_exact_mut(product_pitch) {
                    inputs[behind..][..InputWindow::row_pitch(lattice)].fill(0.0);
                }
            }
        }
    }
}
