//! Gradient of a convolution's kernel: products of the output gradient with what every tap read.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use crate::nets::convolution::geometry::ConvGeometry;
use crate::nets::convolution::lanes::{BLOCK, LONGEST};
use crate::nets::convolution::packing::Channels;
use crate::nets::convolution::products::Products;
use crate::nets::convolution::window::InputWindow;
use crate::nets::convolution::winograd::{self, PAIR};

/// Positions of one output channel processed at a time: what eight channels need stays in the
/// second-level cache while all channels of the volume go past.
const PLACES: usize = 1 << 14;
/// Work items of a gradient, at least where it has so many planes. A number that depends on the
/// threads would change the order of additions.
const PIECES: usize = 32;

/// Buffers of a thread.
#[derive(Default)]
pub(super) struct GradientScratch {
    pub(super) window: Vec<f32>,
    pub(super) slopes: Vec<f32>,
    pub(super) lanes: Vec<f32>,
    pub(super) distances: Vec<usize>,
}

thread_local! {
    static MEMORY: RefCell<GradientScratch> = RefCell::default();
}

pub(super) struct KernelGradientInput<'a> {
    pub(super) lattice: ConvGeometry,
    /// Channels of volume and output.
    pub(super) channels: Channels,
    /// `[samples, groups * from, d, h, w]`.
    pub(super) volume: &'a [f32],
    /// Output gradient, `[samples, groups * to, d', h', w']`.
    pub(super) slopes: &'a [f32],
    pub(super) samples: usize,
}

/// Range of planes of one sample.
pub(super) struct Slab {
    pub(super) sample: usize,
    pub(super) planes: Range<usize>,
}

impl KernelGradientInput<'_> {
    /// Computes the kernel's gradient, `[groups * to, from, taps]`.
    pub(super) fn kernel_gradient(&self) -> Vec<f32> {
        let Channels { groups, from, to } = self.channels;
        let blocks = to.div_ceil(BLOCK);
        let taps = self.tap_count();
        let in_pairs = winograd::saves_products(&self.lattice);
        let slabs = self.split_slabs(if in_pairs { PAIR } else { 1 });
        let shares = (PIECES / (groups * blocks)).clamp(1, slabs.len());
        let share = slabs.len().div_ceil(shares);
        let shares: Vec<&[Slab]> = slabs.chunks(share).collect();
        let work = 0..groups * blocks * shares.len();
        let sums: Vec<Vec<f32>> = work
            .into_par_iter()
            .map(|index| {
                let share = shares[index % shares.len()];
                let block = index / shares.len();
                MEMORY.with_borrow_mut(|memory| match in_pairs {
                    true => self.sum_block_in_pairs(block, share, memory),
                    false => self.sum_block(block, share, memory),
                })
            })
            .collect();
        let mut gradient = vec![0.0; groups * to * from * taps];
        let kernel = from * taps;
        gradient.par_chunks_mut(to * kernel).enumerate().for_each(|(group, gradient)| {
            gradient.par_chunks_mut(BLOCK * kernel).enumerate().for_each(|(block, gradient)| {
                let block = group * blocks + block;
                for sums in &sums[block * shares.len()..][..shares.len()] {
                    for (place, sums) in sums.as_chunks::<BLOCK>().0.iter().enumerate() {
                        let of_tap = gradient[place..].iter_mut().step_by(kernel);
                        of_tap.zip(sums).for_each(|(of_tap, sum)| *of_tap += sum);
                    }
                }
            });
        });
        gradient
    }

    fn tap_count(&self) -> usize {
        self.lattice.iter().map(|axis| axis.taps).product()
    }

    /// Splits all planes of all samples, some times `together` of them at a time.
    fn split_slabs(&self, together: usize) -> Vec<Slab> {
        let depth = self.lattice[0].outputs;
        let span = PLACES / InputWindow::plane_pitch(&self.lattice);
        let span = together * span.clamp(1, depth.div_ceil(together));
        let mut slabs = Vec::new();
        for sample in 0..self.samples {
            for from in (0..depth).step_by(span) {
                slabs.push(Slab { sample, planes: from..depth.min(from + span) });
            }
        }
        slabs
    }

    /// Sums of one block of output channels over some planes, `[from][tap][BLOCK]`.
    fn sum_block(&self, block: usize, slabs: &[Slab], memory: &mut GradientScratch) -> Vec<f32> {
        let Channels { groups, from, .. } = self.channels;
        let taps = self.tap_count();
        let mut total = vec![0.0; from * taps * BLOCK];
        let lattice = &self.lattice;
        let size: usize = lattice.iter().map(|axis| axis.source).product();
        let (group, outputs) = self.group_of(block);
        for Slab { sample, planes } in slabs {
            let GradientScratch { window, slopes, lanes, distances } = &mut *memory;
            self.lay_out(block, *sample, planes, slopes);
            let mut window = InputWindow::new(lattice, 1, planes.len(), planes.start, window);
            window.tap_distances(planes.start, distances);
            lanes.resize(taps * BLOCK * LONGEST, 0.0);
            for (channel, total) in total.chunks_mut(taps * BLOCK).enumerate() {
                let place = (sample * groups + group) * from + channel;
                window.refill_planes(&self.volume[place * size..][..size], planes.end);
                let products = Products {
                    values: window.values(),
                    distances,
                    slopes,
                    outputs: outputs.len(),
                    length: InputWindow::span_length(lattice, planes.len()),
                    lanes,
                    sums: total,
                };
                products.run();
            }
        }
        total
    }

    pub(super) fn group_of(&self, block: usize) -> (usize, Range<usize>) {
        let to = self.channels.to;
        let blocks = to.div_ceil(BLOCK);
        let first = block % blocks * BLOCK;
        (block / blocks, first..to.min(first + BLOCK))
    }

    /// Copies a block's output gradient into the layout of the window, with zeros between rows.
    fn lay_out(&self, block: usize, sample: usize, planes: &Range<usize>, slopes: &mut Vec<f32>) {
        let Channels { groups, to, .. } = self.channels;
        let lattice = &self.lattice;
        let [depth, height, width] = lattice.map(|axis| axis.outputs);
        let (pitch, plane_pitch) =
            (InputWindow::row_pitch(lattice), InputWindow::plane_pitch(lattice));
        let row = InputWindow::span_length(lattice, planes.len()).next_multiple_of(LONGEST);
        slopes.clear();
        slopes.resize(BLOCK * row, 0.0);
        let (group, outputs) = self.group_of(block);
        for (output, target) in outputs.zip(slopes.chunks_mut(row)) {
            let volume = ((sample * groups + group) * to + output) * depth;
            for (place, plane) in planes.clone().enumerate() {
                let from = &self.slopes[(volume + plane) * height * width..][..height * width];
                for (line, from) in from.chunks(width).enumerate() {
                    let at = place * plane_pitch + line * pitch;
                    target[at..at + width].copy_from_slice(from);
                }
            }
        }
    }
}
