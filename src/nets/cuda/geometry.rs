//! Sizes of a convolution's launches: what its kernels are told, and how its work is divided among
//! blocks. All of it follows from shapes alone, so that sums are the same on every card.

use crate::nets::cuda::layout::{ChannelsLast, to_field, volume_shape};

/// Voxels that a block works on at a time, as a power of two.
const BRICK: u32 = 7;

/// Bytes of taps and channels in one step of a sum.
const STEP: usize = 64;

/// Blocks that keep every multiprocessor of a large card busy, several on each.
const BLOCKS_WANTED: usize = 528;

/// Bytes of the channels that groups are merged up to.
const MERGED: usize = 64;

/// Steps that a block has at least where several share a sum.
const STEPS_AT_LEAST: usize = 16;

/// Convolution, seen from one of its passes; the structure of the same name in `kernels/lattice.cuh`.
#[derive(Debug, Clone, Copy)]
pub(super) struct PassGeometry {
    /// Extents of the volume that is read.
    pub(super) source: [usize; 3],
    /// Extents of the volume that is written, or of the gradient that is read along with it.
    pub(super) target: [usize; 3],
    pub(super) source_pitch: usize,
    pub(super) target_pitch: usize,
    /// Channels of a group in the source.
    pub(super) from: usize,
    /// Channels of a group in the target.
    pub(super) to: usize,
    pub(super) groups: usize,
    pub(super) samples: usize,
    pub(super) side: usize,
    pub(super) stride: usize,
    /// True for the gradient of a convolution's input.
    pub(super) is_transposed: bool,
    /// Bytes of an element.
    pub(super) width: usize,
    /// Groups of the kernel that make one group here, their products across them with zeros.
    pub(super) merged: usize,
}

/// Kernel of a convolution, and the direction in which a pass goes through it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PassWay {
    pub(super) side: usize,
    pub(super) stride: usize,
    pub(super) groups: usize,
    /// True for the gradient of a convolution's input.
    pub(super) is_transposed: bool,
}

impl PassGeometry {
    /// Creates the geometry of a pass that reads `source` and writes `target`, or reads it along with the other.
    pub(super) fn new(source: &ChannelsLast, target: &ChannelsLast, way: PassWay) -> Self {
        let [samples, from, d, h, w] = volume_shape(&source.tensor);
        let [_, to, td, th, tw] = volume_shape(&target.tensor);
        let geometry = Self {
            source: [d, h, w],
            target: [td, th, tw],
            source_pitch: source.pitch,
            target_pitch: target.pitch,
            from: from / way.groups,
            to: to / way.groups,
            groups: way.groups,
            samples,
            side: way.side,
            stride: way.stride,
            is_transposed: way.is_transposed,
            width: source.tensor.dtype.size(),
            merged: 1,
        };
        geometry.merge_groups()
    }

    /// Takes groups of few channels together, as many as are read at once: a tile that is mostly zeros
    /// costs less than tiles of one group each that are mostly empty.
    pub(super) fn merge_groups(mut self) -> Self {
        let is_narrow = |geometry: &Self| {
            let bytes = geometry.from.max(geometry.to) * geometry.width;
            geometry.groups.is_multiple_of(2) && 2 * bytes <= MERGED
        };
        while is_narrow(&self) {
            self.groups /= 2;
            self.from *= 2;
            self.to *= 2;
            self.merged *= 2;
        }
        self
    }

    /// The fields that kernels read, with sums in `splits` parts.
    pub(super) fn kernel_fields(&self, splits: usize) -> Vec<i32> {
        let mut fields: Vec<i32> =
            self.source.into_iter().chain(self.target).map(to_field).collect();
        let sizes = [
            self.source_pitch,
            self.target_pitch,
            self.from,
            self.to,
            self.groups,
            self.samples,
            self.side,
            self.stride,
            usize::from(self.is_transposed),
        ];
        fields.extend(sizes.map(to_field));
        fields.extend(self.brick_shape().map(u32::cast_signed));
        fields.extend([splits, self.merged].map(to_field));
        fields
    }

    /// Bytes read at once of the source.
    pub(super) fn source_granule(&self) -> usize {
        self.longest_access(self.from, self.source_pitch)
    }

    /// Bytes read or written at once of the target.
    pub(super) fn target_granule(&self) -> usize {
        self.longest_access(self.to, self.target_pitch)
    }

    fn longest_access(&self, channels: usize, pitch: usize) -> usize {
        let is_aligned = |bytes: usize| {
            let group = self.groups == 1 || (channels * self.width).is_multiple_of(bytes);
            group && (pitch * self.width).is_multiple_of(bytes)
        };
        [16, 8, 4].into_iter().find(|&bytes| is_aligned(bytes)).unwrap_or(self.width)
    }

    /// Channels of the target that a block computes.
    pub(super) fn block_columns(&self) -> usize {
        self.to.next_power_of_two().clamp(8, 64)
    }

    fn column_tiles(&self) -> usize {
        self.to.div_ceil(self.block_columns())
    }

    fn has_classes(&self) -> bool {
        self.is_transposed && self.stride == 2
    }

    fn class_count(&self) -> usize {
        if self.has_classes() { 8 } else { 1 }
    }

    /// Extents of the largest class of voxels.
    fn class_extent(&self) -> [usize; 3] {
        let divisor = if self.has_classes() { 2 } else { 1 };
        self.target.map(|extent| extent.div_ceil(divisor))
    }

    /// The brick of 128 voxels that covers the volume with the fewest, the one with the least surface
    /// among those; as powers of two along d, h, w.
    pub(super) fn brick_shape(&self) -> [u32; 3] {
        let extent = self.class_extent();
        let cost = |powers: &[u32; 3]| {
            let bricks: usize =
                (0..3).map(|axis| extent[axis].div_ceil(1 << powers[axis])).product();
            let halo: usize = powers.iter().map(|power| (1 << power) + 2).product();
            (bricks, halo)
        };
        let shapes = (0..=BRICK).flat_map(|z| (0..=BRICK - z).map(move |y| [z, y, BRICK - z - y]));
        shapes.min_by_key(cost).expect("there are several")
    }

    /// Bricks of all samples.
    fn brick_count(&self) -> usize {
        let extent = self.class_extent();
        let brick = self.brick_shape();
        let of_sample: usize = (0..3).map(|axis| extent[axis].div_ceil(1 << brick[axis])).product();
        of_sample * self.samples
    }

    fn granules_of_tap(&self) -> usize {
        (self.from * self.width).div_ceil(self.source_granule())
    }

    /// Steps of each class of voxels.
    fn class_steps(&self) -> impl Iterator<Item = usize> {
        let bytes_of_tap = self.granules_of_tap() * self.source_granule();
        (0..self.class_count()).map(move |class| {
            let along = |axis: usize| match (self.has_classes(), self.side, class >> (2 - axis) & 1)
            {
                (false, side, _) => side,
                (true, 2, _) => 1,
                (true, 3, odd) => 1 + odd,
                (true, _, odd) => 1 - odd,
            };
            let taps: usize = (0..3).map(along).product();
            (taps * bytes_of_tap).div_ceil(STEP)
        })
    }

    /// Elements of the packed kernel.
    pub(super) fn packed_elements(&self) -> usize {
        let steps: usize = self.class_steps().sum();
        self.groups * steps * self.column_tiles() * self.block_columns() * STEP / self.width
    }

    /// Blocks that share the steps of a tile of `correlate`.
    pub(super) fn correlate_splits(&self) -> usize {
        let blocks = self.brick_count() * self.column_tiles() * self.groups * self.class_count();
        let most = self.class_steps().min().unwrap_or(0) / STEPS_AT_LEAST;
        BLOCKS_WANTED.div_ceil(blocks).min(most).max(1)
    }

    /// Grid of `correlate`.
    pub(super) fn correlate_blocks(&self, splits: usize) -> [usize; 3] {
        [self.brick_count(), self.column_tiles() * self.groups, self.class_count() * splits]
    }

    /// Rows of a group in the parts of the kernel's gradient: pairs of tap and input channel, padded.
    fn gradient_rows(&self) -> usize {
        let pairs = self.side.pow(3) * self.granules_of_tap() * self.source_granule() / self.width;
        pairs.next_multiple_of(128)
    }

    /// Shares of the voxels that the kernel's gradient is summed up in.
    pub(super) fn gradient_splits(&self) -> usize {
        let blocks = self.gradient_rows() / 128 * self.column_tiles() * self.groups;
        BLOCKS_WANTED.div_ceil(blocks).min(self.brick_count().div_ceil(4)).max(1)
    }

    /// Grid of `kernel_gradient`.
    pub(super) fn gradient_blocks(&self, splits: usize) -> [usize; 3] {
        [self.gradient_rows() / 128, self.column_tiles() * self.groups, splits]
    }

    /// Elements of the parts of the kernel's gradient.
    pub(super) fn gradient_parts(&self, splits: usize) -> usize {
        splits * self.groups * self.gradient_rows() * self.column_tiles() * self.block_columns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_resolution(inputs: usize, outputs: usize) -> PassGeometry {
        PassGeometry {
            source: [128; 3],
            target: [128; 3],
            source_pitch: inputs.next_multiple_of(8),
            target_pitch: outputs.next_multiple_of(8),
            from: inputs,
            to: outputs,
            groups: 1,
            samples: 2,
            side: 3,
            stride: 1,
            is_transposed: false,
            width: 2,
            merged: 1,
        }
    }

    #[test]
    fn groups_of_few_channels_are_merged_until_a_read_is_long() {
        let of = |from: usize, to: usize| {
            let narrow = PassGeometry { from, to, groups: 4, ..full_resolution(4 * from, 4 * to) };
            let merged = narrow.merge_groups();
            (merged.groups, merged.from, merged.to, merged.merged)
        };
        assert_eq!(of(1, 4), (1, 4, 16, 4));
        assert_eq!(of(8, 8), (1, 32, 32, 4));
        assert_eq!(of(8, 16), (2, 16, 32, 2));
        assert_eq!(of(32, 32), (4, 32, 32, 1));
    }

    #[test]
    fn a_brick_has_128_voxels_and_covers_narrow_volumes_with_few() {
        for extent in [[128; 3], [1, 1, 130], [5, 7, 9], [17, 2, 1], [8; 3]] {
            let geometry = PassGeometry { target: extent, ..full_resolution(30, 30) };
            assert_eq!(geometry.brick_shape().iter().sum::<u32>(), BRICK, "{extent:?}");
        }
        let line = PassGeometry { target: [1, 1, 130], samples: 1, ..full_resolution(8, 8) };
        assert_eq!((line.brick_shape(), line.brick_count()), ([0, 0, 7], 2));
    }

    #[test]
    fn thirty_channels_are_read_16_bytes_at_once_in_27_steps() {
        let geometry = full_resolution(30, 30);
        assert_eq!((geometry.source_granule(), geometry.block_columns()), (16, 32));
        assert_eq!(geometry.class_steps().collect::<Vec<_>>(), [27]);
        assert_eq!(geometry.packed_elements(), 27 * 32 * 32);
        assert_eq!((geometry.correlate_splits(), geometry.correlate_blocks(1)), (1, [32768, 1, 1]));
        // 27 taps of 32 channels are 864 rows, in 7 tiles of 128.
        assert_eq!(geometry.gradient_splits(), 76);
    }

    #[test]
    fn the_gradient_of_a_strided_input_takes_each_tap_once() {
        let geometry = PassGeometry {
            is_transposed: true,
            stride: 2,
            source: [64; 3],
            ..full_resolution(32, 64)
        };
        assert_eq!(geometry.class_steps().collect::<Vec<_>>(), [1, 2, 2, 4, 2, 4, 4, 8]);
        assert_eq!(geometry.class_steps().sum::<usize>(), 27);
    }
}
