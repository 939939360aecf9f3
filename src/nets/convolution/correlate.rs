//! Correlation of a volume with a kernel: a convolution's output, and the gradient of its input.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::nets::convolution::correlation::Correlation;
use crate::nets::convolution::geometry::ConvGeometry;
use crate::nets::convolution::lanes::{BLOCK, LONGEST};
use crate::nets::convolution::packing::{Channels, PackedKernel};
use crate::nets::convolution::pair_correlation::{PairCorrelation, PairScratch};
use crate::nets::convolution::window::InputWindow;
use crate::nets::convolution::winograd::PAIR;

/// Work items for each thread, so that none waits long for the last one.
const PIECES: usize = 4;
/// Planes of a work item, at least where there are so many: each reads what its taps reach beyond them, too.
const LEAST_PLANES: usize = 4;

/// Buffers of a thread for one work item.
#[derive(Default)]
struct CorrelationScratch {
    window: Vec<f32>,
    block: Vec<f32>,
    distances: Vec<usize>,
    pairs: PairScratch,
}

thread_local! {
    static MEMORY: RefCell<CorrelationScratch> = RefCell::default();
}

/// Planes of some blocks of target channels of one sample, which read the same window.
struct OutputPiece<'a, T = f32> {
    planes: Range<usize>,
    /// Planes of each channel of the blocks.
    target: Vec<&'a mut [T]>,
}

impl<'a> OutputPiece<'a, MaybeUninit<f32>> {
    /// Fills all of it with zeros.
    #[allow(unsafe_code)]
    fn fill_with_zeros(self) -> OutputPiece<'a> {
        let zeroed = self.target.into_iter().map(|planes| {
            planes.fill(MaybeUninit::new(0.0));
            // SAFETY: every value was just written.
            unsafe { planes.assume_init_mut() }
        });
        OutputPiece { planes: self.planes, target: zeroed.collect() }
    }
}

/// Division of a volume's correlation into work items: blocks of channels stay together as long as planes make enough
/// items, as each item lays out its window once for all its blocks.
struct Division {
    /// Planes of an item.
    span: usize,
    pieces: usize,
    /// Blocks of an item.
    together: usize,
    bundles: usize,
}

impl Division {
    fn new(depth: usize, blocks: usize, sample_groups: usize) -> Self {
        let wanted = (PIECES * rayon::current_num_threads()).div_ceil(sample_groups);
        // Pairs of planes are the same, however many items there are.
        let span = depth.div_ceil(wanted).max(LEAST_PLANES).next_multiple_of(PAIR).min(depth);
        let pieces = depth.div_ceil(span);
        let together = blocks.div_ceil(wanted.div_ceil(pieces).min(blocks));
        Self { span, pieces, together, bundles: blocks.div_ceil(together) }
    }
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
    // Zeroed by the threads that write it, not by one thread ahead of them.
    let length = samples * groups * to * depth * plane;
    let mut answer = Vec::with_capacity(length);
    let room = &mut answer.spare_capacity_mut()[..length];
    let Division { span, pieces, together, bundles } =
        Division::new(depth, channels.block_count(), samples * groups);
    let mut work = Vec::with_capacity(samples * groups * bundles * pieces);
    for _ in 0..samples * groups * bundles {
        work.extend((0..pieces).map(|piece| {
            let planes = piece * span..depth.min((piece + 1) * span);
            OutputPiece { planes, target: Vec::with_capacity(together * BLOCK) }
        }));
    }
    for (channel, volume) in room.chunks_mut(depth * plane).enumerate() {
        let first = (channel / to * bundles + channel % to / (together * BLOCK)) * pieces;
        for (piece, planes) in volume.chunks_mut(span * plane).enumerate() {
            work[first + piece].target.push(planes);
        }
    }
    let group_size = source.len() / (samples * groups);
    work.into_par_iter().enumerate().for_each(|(index, piece)| {
        let mut piece = piece.fill_with_zeros();
        let sample_group = index / pieces / bundles;
        let first_block = index / pieces % bundles * together;
        let source = &source[sample_group * group_size..][..group_size];
        MEMORY.with_borrow_mut(|memory| {
            for pass in passes {
                let group = sample_group % groups;
                let weights =
                    |block: usize| pass.block_weights(channels, group, first_block + block);
                let lattice = &pass.lattice;
                if pass.in_pairs {
                    let extent = [height, width];
                    let job = PairCorrelation { lattice: *lattice, source, channels: from, extent };
                    job.run(weights, &piece.planes, &mut piece.target, &mut memory.pairs);
                    continue;
                }
                let job = PieceCorrelation { lattice, source, channels: from };
                job.run(weights, &mut piece, [height, width], memory);
            }
        });
    });
    // SAFETY: the pieces are all planes of all channels, and each was zeroed.
    #[allow(unsafe_code)]
    unsafe {
        answer.set_len(length);
    }
    answer
}

/// Correlation of some planes of some blocks of channels of one sample.
#[derive(Clone, Copy)]
struct PieceCorrelation<'a> {
    lattice: &'a ConvGeometry,
    source: &'a [f32],
    channels: usize,
}

impl PieceCorrelation<'_> {
    fn run<'a>(
        &self,
        weights: impl Fn(usize) -> &'a [[f32; BLOCK]],
        piece: &mut OutputPiece<'_>,
        [height, width]: [usize; 2],
        memory: &mut CorrelationScratch,
    ) {
        let height_of_band = self.rows_together();
        let rows = self.lattice[1].outputs;
        for first in (0..rows).step_by(height_of_band) {
            let [slow, middle, fast] = *self.lattice;
            let band = middle.restrict_outputs(first..rows.min(first + height_of_band));
            let lattice = [slow, band, fast];
            let job = PieceCorrelation { lattice: &lattice, ..*self };
            job.run_band(&weights, piece, [height, width], memory);
        }
    }

    /// Rows of a plane that are correlated before the next ones, through all planes.
    fn rows_together(&self) -> usize {
        let slow = self.lattice[0];
        let remainders: usize = self.lattice.iter().map(|axis| axis.remainder_count()).product();
        let planes = self.channels * remainders * (1 + slow.tap_reach());
        let row = planes * InputWindow::row_pitch(self.lattice) * size_of::<f32>();
        InputWindow::band_height(self.lattice, row)
    }

    fn run_band<'a>(
        &self,
        weights: impl Fn(usize) -> &'a [[f32; BLOCK]],
        piece: &mut OutputPiece<'_>,
        [height, width]: [usize; 2],
        memory: &mut CorrelationScratch,
    ) {
        let CorrelationScratch { window, block, distances, .. } = memory;
        let lattice = self.lattice;
        let slow = lattice[0];
        let places = slow.positions_inside(&piece.planes);
        let mut window = InputWindow::new(lattice, self.channels, 1, places.start, window);
        let length = InputWindow::span_length(lattice, 1);
        block.resize(BLOCK * length.next_multiple_of(LONGEST), 0.0);
        for place in places {
            window.fill_planes(self.source, place + 1);
            window.tap_distances(place, distances);
            let plane = slow.output_offset + slow.output_stride * place - piece.planes.start;
            for (number, outputs) in piece.target.chunks_mut(BLOCK).enumerate() {
                let correlation = Correlation {
                    values: window.values(),
                    channel_pitch: window.channel_pitch(),
                    distances,
                    weights: weights(number),
                    outputs: outputs.len(),
                    length,
                    into: block,
                };
                correlation.run();
                for (row, target) in outputs.iter_mut().enumerate() {
                    let from = &block[row * length.next_multiple_of(LONGEST)..][..length];
                    let target = &mut target[plane * height * width..][..height * width];
                    self.scatter_rows(from, target, width);
                }
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
