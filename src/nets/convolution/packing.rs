//! Kernels packed for the vector loops.

use rayon::prelude::*;

use crate::nets::convolution::geometry::{ConvGeometry, tap_indices};
use crate::nets::convolution::lanes::BLOCK;
use crate::nets::convolution::winograd;

/// Convolution geometry and its kernel, packed for the vector loops.
pub(super) struct PackedKernel {
    pub(super) lattice: ConvGeometry,
    /// Weights are those of products of planes.
    pub(super) in_pairs: bool,
    /// `[group][block][channel][tap][BLOCK]`, or `[group][block][product][channel][tap of a plane][BLOCK]`.
    weights: Vec<[f32; BLOCK]>,
    /// Vectors of a block.
    size: usize,
}

/// Channels of source and target per group.
#[derive(Clone, Copy)]
pub(super) struct Channels {
    pub(super) groups: usize,
    /// Source channels of a group.
    pub(super) from: usize,
    /// Target channels of a group.
    pub(super) to: usize,
}

impl Channels {
    pub(super) fn block_count(self) -> usize {
        self.to.div_ceil(BLOCK)
    }
}

impl PackedKernel {
    /// Packs a kernel of `side` voxels along each axis; `taps_of` gives the `side^3` weights of a target channel and of a
    /// source channel in its group.
    pub(super) fn new<'a>(
        lattice: ConvGeometry,
        channels: Channels,
        side: usize,
        taps_of: impl Fn(usize, usize) -> &'a [f32] + Sync,
    ) -> Self {
        let places: Vec<usize> = tap_indices(&lattice)
            .map(|tap| {
                let [z, y, x] = [0, 1, 2].map(|axis| lattice[axis].kernel_tap(tap[axis]));
                (z * side + y) * side + x
            })
            .collect();
        let in_pairs = winograd::saves_products(&lattice);
        let plane_taps = lattice[1].taps * lattice[2].taps;
        let size =
            if in_pairs { winograd::PRODUCTS * plane_taps } else { places.len() } * channels.from;
        let blocks = channels.groups * channels.block_count();
        let mut weights = vec![[0.0; BLOCK]; blocks * size];
        weights.par_chunks_mut(size).enumerate().for_each(|(at, weights)| {
            let (group, block) = (at / channels.block_count(), at % channels.block_count());
            let outputs = block * BLOCK..channels.to.min((block + 1) * BLOCK);
            for from in 0..channels.from {
                let mut taps = [&[][..]; BLOCK];
                for (taps, to) in taps.iter_mut().zip(outputs.clone()) {
                    *taps = taps_of(group * channels.to + to, from);
                }
                let taps = &taps[..outputs.len()];
                if in_pairs {
                    let products = weights.chunks_exact_mut(channels.from * plane_taps);
                    for (product, weights) in products.enumerate() {
                        let weights = &mut weights[from * plane_taps..][..plane_taps];
                        pack_product(product, taps, &places, weights);
                    }
                    continue;
                }
                let weights = &mut weights[from * places.len()..][..places.len()];
                for (weights, place) in weights.iter_mut().zip(&places) {
                    for (weight, taps) in weights.iter_mut().zip(taps) {
                        *weight = taps[*place];
                    }
                }
            }
        });
        Self { lattice, in_pairs, weights, size }
    }

    pub(super) fn block_weights(
        &self,
        channels: Channels,
        group: usize,
        block: usize,
    ) -> &[[f32; BLOCK]] {
        &self.weights[(group * channels.block_count() + block) * self.size..][..self.size]
    }
}

/// Packs the weights of a product's taps of a plane; `taps` are all of each output's, in turn at `places`.
fn pack_product(product: usize, taps: &[&[f32]], places: &[usize], weights: &mut [[f32; BLOCK]]) {
    let plane_taps = weights.len();
    for (tap, weights) in weights.iter_mut().enumerate() {
        let along = [0, 1, 2].map(|plane| places[plane * plane_taps + tap]);
        for (weight, taps) in weights.iter_mut().zip(taps) {
            *weight = winograd::product_weights(along.map(|place| taps[place]))[product];
        }
    }
}
