//! Correlation of a volume with a kernel: a convolution's output, and the gradient of its input.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use crate::nets::convolution::correlation::Correlation;
use crate::nets::convolution::geometry::{ConvGeometry, tap_indices};
use crate::nets::convolution::lanes::{BLOCK, LONGEST};
use crate::nets::convolution::window::InputWindow;

/// Work items for each thread, so that none waits long for the last one.
const PIECES: usize = 4;

/// Buffers of a thread for one work item.
#[derive(Default)]
struct CorrelationScratch {
    window: Vec<f32>,
    block: Vec<f32>,
    distances: Vec<usize>,
}

thread_local! {
    static MEMORY: RefCell<CorrelationScratch> = RefCell::default();
}

/// Convolution geometry and its kernel, packed for the vector loops.
pub(super) struct PackedKernel {
    lattice: ConvGeometry,
    /// `[group][block][channel][tap][BLOCK]`.
    weights: Vec<[f32; BLOCK]>,
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
    fn block_count(self) -> usize {
        self.to.div_ceil(BLOCK)
    }
}

impl PackedKernel {
    /// Packs a kernel; `weight` maps target channel, source channel in its group, and kernel
    /// position to the weight.
    pub(super) fn new(
        lattice: ConvGeometry,
        channels: Channels,
        weight: impl Fn(usize, usize, [usize; 3]) -> f32,
    ) -> Self {
        let count = channels.groups * channels.block_count() * channels.from;
        let mut weights = Vec::with_capacity(count * tap_indices(&lattice).count());
        for group in 0..channels.groups {
            for block in 0..channels.block_count() {
                for from in 0..channels.from {
                    for tap in tap_indices(&lattice) {
                        let place = [0, 1, 2].map(|axis| lattice[axis].kernel_tap(tap[axis]));
                        weights.push(std::array::from_fn(|row| {
                            let to = block * BLOCK + row;
                            if to >= channels.to {
                                return 0.0;
                            }
                            weight(group * channels.to + to, from, place)
                        }));
                    }
                }
            }
        }
        Self { lattice, weights }
    }

    fn block_weights(&self, channels: Channels, group: usize, block: usize) -> &[[f32; BLOCK]] {
        let taps: usize = self.lattice.iter().map(|axis| axis.taps).product();
        let size = channels.from * taps;
        &self.weights[(group * channels.block_count() + block) * size..][..size]
    }
}

/// Planes of a block of target channels of one sample.
struct OutputPiece<'a> {
    planes: Range<usize>,
    /// Planes of each channel of the block.
    target: Vec<&'a mut [f32]>,
}

/// Correlates `[samples, groups * from, ...]` to `[samples, groups * to, target]` by all `passes`,
/// which write to different positions. Every value is one sum in one order, so how the work is
/// divided changes nothing.
pub(super) fn correlate_volume(
    source: &[f32],
    samples: usize,
    channels: Channels,
    passes: &[PackedKernel],
    target: [usize; 3],
) -> Vec<f32> {
    let [depth, height, width] = target;
    let Channels { groups, from, to } = channels;
    let plane = height * width;
    let blocks = channels.block_count();
    let mut answer = vec![0.0; samples * groups * to * depth * plane];
    let wanted = (PIECES * rayon::current_num_threads()).div_ceil(samples * groups * blocks);
    let span = depth.div_ceil(wanted.min(depth));
    let pieces = depth.div_ceil(span);
    let mut work = Vec::with_capacity(samples * groups * blocks * pieces);
    for _ in 0..samples * groups * blocks {
        work.extend((0..pieces).map(|piece| {
            let planes = piece * span..depth.min((piece + 1) * span);
            OutputPiece { planes, target: Vec::with_capacity(BLOCK) }
        }));
    }
    for (channel, volume) in answer.chunks_mut(depth * plane).enumerate() {
        let first = (channel / to * blocks + channel % to / BLOCK) * pieces;
        for (piece, planes) in volume.chunks_mut(span * plane).enumerate() {
            work[first + piece].target.push(planes);
        }
    }
    let group_size = source.len() / (samples * groups);
    work.into_par_iter().enumerate().for_each(|(index, mut piece)| {
        let sample_group = index / pieces / blocks;
        let block = index / pieces % blocks;
        let source = &source[sample_group * group_size..][..group_size];
        MEMORY.with_borrow_mut(|memory| {
            for pass in passes {
                let weights = pass.block_weights(channels, sample_group % groups, block);
                let job =
                    BlockCorrelation { lattice: &pass.lattice, source, channels: from, weights };
                job.run(&mut piece, [height, width], memory);
            }
        });
    });
    answer
}

/// Correlation of one block of channels of one sample.
struct BlockCorrelation<'a> {
    lattice: &'a ConvGeometry,
    source: &'a [f32],
    channels: usize,
    weights: &'a [[f32; BLOCK]],
}

impl BlockCorrelation<'_> {
    fn run(
        &self,
        piece: &mut OutputPiece<'_>,
        [height, width]: [usize; 2],
        memory: &mut CorrelationScratch,
    ) {
        let CorrelationScratch { window, block, distances } = memory;
        let lattice = self.lattice;
        let slow = lattice[0];
        let places = slow.positions_inside(&piece.planes);
        let mut window = InputWindow::new(lattice, self.channels, 1, places.start, window);
        let length = InputWindow::span_length(lattice, 1);
        block.resize(BLOCK * length.next_multiple_of(LONGEST), 0.0);
        for place in places {
            window.fill_planes(self.source, place + 1);
            window.tap_distances(place, distances);
            let correlation = Correlation {
                values: window.values(),
                channel_pitch: window.channel_pitch(),
                distances,
                weights: self.weights,
                outputs: piece.target.len(),
                length,
                into: block,
            };
            correlation.run();
            let plane = slow.output_offset + slow.output_stride * place - piece.planes.start;
            for (row, target) in piece.target.iter_mut().enumerate() {
                let from = &block[row * length.next_multiple_of(LONGEST)..][..length];
                self.scatter_rows(
                    from,
                    &mut target[plane * height * width..][..height * width],
                    width,
                );
            }
        }
    }

    /// Copies rows from the layout of the window to that of the target.
    fn scatter_rows(&self, from: &[f32], target: &mut [f32], width: usize) {
        let [_, middle, fast] = *self.lattice;
        for (row, from) in from.chunks(InputWindow::row_pitch(self.lattice)).enumerate() {
            let from = &from[..fast.outputs];
            let target =
                &mut target[(middle.output_offset + middle.output_stride * row) * width..][..width];
            let target = &mut target[fast.output_offset..];
            if fast.output_stride == 1 {
                target[..from.len()].copy_from_slice(from);
                continue;
            }
            for (to, from) in target.iter_mut().step_by(fast.output_stride).zip(from) {
                *to = *from;
            }
        }
    }
}
