//! Part of a volume that a few output planes read, laid out for sums over taps: with its padding,
//! so that a tap is one distance for all positions of a plane.

use crate::nets::convolution::geometry::{ConvGeometry, tap_indices};

/// Values behind the last position that a sum in registers may read, and are multiplied with zero
/// or thrown away.
pub(super) const SLACK: usize = 64;

/// Bytes that a band of rows reads, at most where it has more than [`LEAST_ROWS`]: what stays in a second-level cache of
/// 512 KiB beside the weights of a block.
pub(super) const BAND_BYTES: usize = 192 << 10;
/// Rows of a band of a plane, at least where there are so many.
const LEAST_ROWS: usize = 4;

/// Padded planes of some channels. Under a stride, positions of the same remainder lie together.
/// Rows follow each other with [`InputWindow::row_pitch`], so that sums run on across rows; what
/// they make of the zeros between rows is not used.
#[derive(Debug)]
pub(super) struct InputWindow<'a> {
    lattice: &'a ConvGeometry,
    values: &'a mut Vec<f32>,
    channels: usize,
    slots: usize,
    base: usize,
    filled: usize,
}

impl<'a> InputWindow<'a> {
    /// Creates an empty window from output plane `from` on, for what `planes` of them read; its
    /// memory is taken from `values`.
    pub(super) fn new(
        lattice: &'a ConvGeometry,
        channels: usize,
        planes: usize,
        from: usize,
        values: &'a mut Vec<f32>,
    ) -> Self {
        let slots = planes + lattice[0].tap_reach();
        let window = Self { lattice, values, channels, slots, base: from, filled: from };
        // All of it is zeroed: an old number that is not finite would spoil sums even times zero.
        let total = channels * window.channel_pitch() + SLACK;
        window.values.clear();
        window.values.resize(total, 0.0);
        window
    }

    /// Distance between rows: the padding behind a row is that ahead of the next one.
    pub(super) fn row_pitch(lattice: &ConvGeometry) -> usize {
        let [.., fast] = lattice;
        fast.outputs + fast.tap_reach() - fast.shared_padding()
    }

    /// Distance between planes.
    pub(super) fn plane_pitch(lattice: &ConvGeometry) -> usize {
        Self::row_pitch(lattice) * (lattice[1].outputs + lattice[1].tap_reach())
    }

    /// Rows of a plane that are correlated before the next ones, where a row of all that they read has so many bytes.
    pub(super) fn band_height(lattice: &ConvGeometry, row_bytes: usize) -> usize {
        let [_, middle, _] = lattice;
        let rows = (BAND_BYTES / row_bytes).saturating_sub(middle.tap_reach()).max(LEAST_ROWS);
        // Bands of one height, or the last one may be a row.
        middle.outputs.div_ceil(middle.outputs.div_ceil(rows))
    }

    /// Length of `planes` output planes in the layout of the window, first to last position.
    pub(super) fn span_length(lattice: &ConvGeometry, planes: usize) -> usize {
        let rows = lattice[1].outputs - 1;
        let before = (planes - 1) * Self::plane_pitch(lattice) + rows * Self::row_pitch(lattice);
        before + lattice[2].outputs
    }

    /// Distance between channels.
    pub(super) fn channel_pitch(&self) -> usize {
        let remainders: usize = self.lattice.iter().map(|axis| axis.remainder_count()).product();
        remainders * self.slots * Self::plane_pitch(self.lattice)
    }

    /// Values, from the first channel's first to the slack behind the last.
    pub(super) fn values(&self) -> &[f32] {
        self.values
    }

    /// Copies what the output planes below `to` read from the channels `source`, over the oldest
    /// planes where the window is full.
    pub(super) fn fill_planes(&mut self, source: &[f32], to: usize) {
        let [slow, middle, fast] = *self.lattice;
        let volume = slow.source * middle.source * fast.source;
        let to = to + slow.tap_reach();
        for plane in self.filled..to {
            for channel in 0..self.channels {
                let source = &source[channel * volume..][..volume];
                for rest in 0..slow.remainder_count() {
                    let from = slow.input_offset + (slow.input_stride * plane + rest) as isize;
                    self.fill_plane(channel, rest, plane, source, from);
                }
            }
        }
        self.filled = self.filled.max(to);
    }

    /// Copies what the output planes below `to` read from other channels, over all that is there.
    pub(super) fn refill_planes(&mut self, source: &[f32], to: usize) {
        self.filled = self.base;
        self.fill_planes(source, to);
    }

    /// Copies plane `from` of one channel, or zeros outside of it.
    fn fill_plane(
        &mut self,
        channel: usize,
        rest: usize,
        plane: usize,
        source: &[f32],
        from: isize,
    ) {
        let [slow, middle, fast] = *self.lattice;
        let (pitch, plane_pitch) = (Self::row_pitch(self.lattice), Self::plane_pitch(self.lattice));
        let remainders = middle.remainder_count() * fast.remainder_count();
        for part in 0..remainders {
            let at = channel * self.channel_pitch()
                + ((rest * remainders + part) * self.slots + self.plane_slot(plane)) * plane_pitch;
            let target = &mut self.values[at..at + plane_pitch];
            if !(0..slow.source as isize).contains(&from) {
                target.fill(0.0);
                continue;
            }
            let source = &source[from as usize * middle.source * fast.source..];
            let rest_y = middle.input_offset + (part / fast.remainder_count()) as isize;
            let rest_x = fast.input_offset + (part % fast.remainder_count()) as isize;
            for row in middle.read_positions(part / fast.remainder_count(), plane_pitch / pitch) {
                let row_from = (rest_y + (middle.input_stride * row) as isize) as usize;
                let source = &source[row_from * fast.source..][..fast.source];
                let places = fast.read_positions(part % fast.remainder_count(), pitch);
                let first = (rest_x + (fast.input_stride * places.start) as isize) as usize;
                let target = &mut target[row * pitch..][places];
                if fast.input_stride == 1 {
                    target.copy_from_slice(&source[first..first + target.len()]);
                    continue;
                }
                for (to, from) in
                    target.iter_mut().zip(source[first..].iter().step_by(fast.input_stride))
                {
                    *to = *from;
                }
            }
        }
    }

    fn plane_slot(&self, plane: usize) -> usize {
        (plane - self.base) % self.slots
    }

    /// Writes the distance of each tap's read for output plane `plane`, from a position's offset
    /// within its channel and plane.
    pub(super) fn tap_distances(&self, plane: usize, into: &mut Vec<usize>) {
        let [slow, middle, fast] = *self.lattice;
        let (pitch, plane_pitch) = (Self::row_pitch(self.lattice), Self::plane_pitch(self.lattice));
        into.clear();
        into.extend(tap_indices(self.lattice).map(|[z, y, x]| {
            let [rest_z, rest_y, rest_x] =
                [z % slow.input_stride, y % middle.input_stride, x % fast.input_stride];
            let part =
                (rest_z * middle.remainder_count() + rest_y) * fast.remainder_count() + rest_x;
            let slot = self.plane_slot(plane + z / slow.input_stride);
            (part * self.slots + slot) * plane_pitch
                + y / middle.input_stride * pitch
                + x / fast.input_stride
        }));
    }
}
