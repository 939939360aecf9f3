//! Gradient of a kernel from pairs of planes, by [`winograd`]'s products.

use crate::nets::convolution::kernel_gradient::{GradientScratch, KernelGradientInput, Slab};
use crate::nets::convolution::lanes::{BLOCK, LONGEST};
use crate::nets::convolution::packing::Channels;
use crate::nets::convolution::products::Products;
use crate::nets::convolution::window::{InputWindow, SLACK};
use crate::nets::convolution::winograd::{
    self, PAIR, PRODUCTS, ProductInputs, ProductSlopes, TAPS,
};

impl KernelGradientInput<'_> {
    /// Sums of one block of output channels over some planes, `[from][tap][BLOCK]`.
    pub(super) fn sum_block_in_pairs(
        &self,
        block: usize,
        slabs: &[Slab],
        memory: &mut GradientScratch,
    ) -> Vec<f32> {
        let Channels { groups, from, .. } = self.channels;
        let GradientScratch { window, slopes, lanes, distances } = memory;
        winograd::plane_distances(&self.lattice, distances);
        let plane_taps = distances.len();
        lanes.resize(plane_taps * BLOCK * LONGEST, 0.0);
        let size: usize = self.lattice.iter().map(|axis| axis.source).product();
        let (group, outputs) = self.group_of(block);
        // `[product][from][tap of a plane][BLOCK]`.
        let mut sums = vec![0.0; PRODUCTS * from * plane_taps * BLOCK];
        for slab in slabs {
            let pairs = slab.planes.len().div_ceil(PAIR);
            let length = InputWindow::span_length(&self.lattice, pairs);
            let window_length = pairs * InputWindow::plane_pitch(&self.lattice);
            window.resize(window_length + SLACK, 0.0);
            // An old number that is not finite would spoil sums even times zero.
            window[window_length..].fill(0.0);
            for (product, sums) in sums.chunks_exact_mut(from * plane_taps * BLOCK).enumerate() {
                self.lay_out_slopes(block, slab, product, length, slopes);
                for (channel, sums) in sums.chunks_exact_mut(plane_taps * BLOCK).enumerate() {
                    let place = (slab.sample * groups + group) * from + channel;
                    let source = &self.volume[place * size..][..size];
                    let targets = window[..window_length]
                        .chunks_exact_mut(InputWindow::plane_pitch(&self.lattice));
                    for (plane, target) in slab.planes.clone().step_by(PAIR).zip(targets) {
                        let inputs = ProductInputs {
                            lattice: &self.lattice,
                            source,
                            plane,
                            products: product..product + 1,
                            target,
                            pitch: 0,
                        };
                        inputs.lay_out();
                    }
                    let products = Products {
                        values: window,
                        distances,
                        slopes,
                        outputs: outputs.len(),
                        length,
                        lanes,
                        sums,
                    };
                    products.run();
                }
            }
        }
        let per_channel = plane_taps * BLOCK;
        let mut total = vec![0.0; from * TAPS * per_channel];
        for (channel, total) in total.chunks_exact_mut(TAPS * per_channel).enumerate() {
            let of_product =
                |product: usize| &sums[(product * from + channel) * per_channel..][..per_channel];
            let products = [0, 1, 2, 3].map(of_product);
            for place in 0..per_channel {
                let gradients = winograd::tap_gradients(products.map(|sums| sums[place]));
                for (tap, gradient) in gradients.into_iter().enumerate() {
                    total[tap * per_channel + place] = gradient;
                }
            }
        }
        total
    }

    /// Lays out the gradient of a product for a block's channels, with zeros between rows.
    fn lay_out_slopes(
        &self,
        block: usize,
        slab: &Slab,
        product: usize,
        length: usize,
        slopes: &mut Vec<f32>,
    ) {
        let Channels { groups, to, .. } = self.channels;
        let volume: usize = self.lattice.iter().map(|axis| axis.outputs).product();
        let row = length.next_multiple_of(LONGEST);
        slopes.clear();
        slopes.resize(BLOCK * row, 0.0);
        let (group, outputs) = self.group_of(block);
        for (output, target) in outputs.zip(slopes.chunks_mut(row)) {
            let channel = (slab.sample * groups + group) * to + output;
            let slopes = &self.slopes[channel * volume..][..volume];
            let planes = slab.planes.clone();
            ProductSlopes { lattice: &self.lattice, slopes, product, planes, target }.lay_out();
        }
    }
}
