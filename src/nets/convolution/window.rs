//! Part of a volume that a few output planes read, laid out for sums over taps: with its padding,
//! so that a tap is one distance for all positions of a plane.

use std::ops::Range;

use crate::nets::convolution::geometry::{Lattice, taps};

/// Values behind the last position that a sum in registers may read, and are multiplied with zero
/// or thrown away.
const SLACK: usize = 64;

/// Padded planes of some channels. Under a stride, positions of the same remainder lie together.
/// Rows follow each other with [`InputWindow::row_pitch`], so that sums run on across rows; what
/// they make of the zeros between rows is not used.
#[derive(Debug)]
pub(super) struct Window<'a> {
    lattice: &'a Lattice,
    values: &'a mut Vec<f32>,
    channels: usize,
    slots: usize,
    base: usize,
    filled: usize,
}

impl<'a> Window<'a> {
    /// Creates an empty window from output plane `from` on, for what `planes` of them read; its
    /// memory is taken from `values`.
    pub(super) fn new(
        lattice: &'a Lattice,
        channels: usize,
        planes: usize,
        from: usize,
        values: &'a mut Vec<f32>,
    ) -> Self {
        let slots = planes + lattice[0].reach();
        let window = Self { lattice, values, channels, slots, base: from, filled: from };
        // All of it is zeroed: an old number that is not finite would spoil sums even times zero.
        let total = channels * window.channel_pitch() + SLACK;
        window.values.clear();
        window.values.resize(total, 0.0);
        window
    }

    /// Distance between rows.
    pub(super) fn pitch(lattice: &Lattice) -> usize {
        lattice[2].outputs + lattice[2].reach()
    }

    /// Distance between planes.
    pub(super) fn plane_pitch(lattice: &Lattice) -> usize {
        Self::pitch(lattice) * (lattice[1].outputs + lattice[1].reach())
    }

    /// Length of `planes` output planes in the layout of the window, first to last position.
    pub(super) fn length(lattice: &Lattice, planes: usize) -> usize {
        let rows = lattice[1].outputs - 1;
        let before = (planes - 1) * Self::plane_pitch(lattice) + rows * Self::pitch(lattice);
        before + lattice[2].outputs
    }

    /// Distance between channels.
    pub(super) fn channel_pitch(&self) -> usize {
        let remainders: usize = self.lattice.iter().map(|axis| axis.remainders()).product();
        remainders * self.slots * Self::plane_pitch(self.lattice)
    }

    /// Values, from the first channel's first to the slack behind the last.
    pub(super) fn values(&self) -> &[f32] {
        self.values
    }

    /// Copies what the output planes below `to` read from the channels `source`, over the oldest
    /// planes where the window is full.
    pub(super) fn fill(&mut self, source: &[f32], to: usize) {
        let [slow, middle, fast] = *self.lattice;
        let volume = slow.source * middle.source * fast.source;
        let to = to + slow.reach();
        for plane in self.filled..to {
            for channel in 0..self.channels {
                let source = &source[channel * volume..][..volume];
                for rest in 0..slow.remainders() {
                    let from = slow.first + (slow.step * plane + rest) as isize;
                    self.fill_plane(channel, rest, plane, source, from);
                }
            }
        }
        self.filled = self.filled.max(to);
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
        let (pitch, plane_pitch) = (Self::pitch(self.lattice), Self::plane_pitch(self.lattice));
        let remainders = middle.remainders() * fast.remainders();
        for part in 0..remainders {
            let at = channel * self.channel_pitch()
                + ((rest * remainders + part) * self.slots + self.slot(plane)) * plane_pitch;
            let target = &mut self.values[at..at + plane_pitch];
            if !(0..slow.source as isize).contains(&from) {
                target.fill(0.0);
                continue;
            }
            let source = &source[from as usize * middle.source * fast.source..];
            let rest_y = middle.first + (part / fast.remainders()) as isize;
            let rest_x = fast.first + (part % fast.remainders()) as isize;
            for row in inside(rest_y, middle.step, middle.source, plane_pitch / pitch) {
                let row_from = (rest_y + (middle.step * row) as isize) as usize;
                let source = &source[row_from * fast.source..][..fast.source];
                let places = inside(rest_x, fast.step, fast.source, pitch);
                let first = (rest_x + (fast.step * places.start) as isize) as usize;
                let target = &mut target[row * pitch..][places];
                if fast.step == 1 {
                    target.copy_from_slice(&source[first..first + target.len()]);
                    continue;
                }
                for (to, from) in target.iter_mut().zip(source[first..].iter().step_by(fast.step)) {
                    *to = *from;
                }
            }
        }
    }

    fn slot(&self, plane: usize) -> usize {
        (plane - self.base) % self.slots
    }

    /// Writes the distance of each tap's read for output plane `plane`, from a position's offset
    /// within its channel and plane.
    pub(super) fn distances(&self, plane: usize, into: &mut Vec<usize>) {
        let [slow, middle, fast] = *self.lattice;
        let (pitch, plane_pitch) = (Self::pitch(self.lattice), Self::plane_pitch(self.lattice));
        into.clear();
        into.extend(taps(self.lattice).map(|[z, y, x]| {
            let [rest_z, rest_y, rest_x] = [z % slow.step, y % middle.step, x % fast.step];
            let part = (rest_z * middle.remainders() + rest_y) * fast.remainders() + rest_x;
            let slot = self.slot(plane + z / slow.step);
            (part * self.slots + slot) * plane_pitch + y / middle.step * pitch + x / fast.step
        }));
    }
}

/// Range of `i` below `count` for which `first + step * i` lies in `0..extent`.
fn inside(first: isize, step: usize, extent: usize, count: usize) -> Range<usize> {
    let below = |place: isize| ((place - first).max(0) as usize).div_ceil(step).min(count);
    below(0)..below(extent as isize)
}
