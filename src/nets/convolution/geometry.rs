//! Geometry of convolutions: padding, stride and output offset per axis, and those of the
//! transposed convolution that is the gradient of the input.

use std::ops::Range;

/// Geometry of one axis: position `o` of the output, under tap `t`, reads position `input_offset +
/// input_stride * o + t` of the source, zero outside of it, and is written to position
/// `output_offset + output_stride * o` of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AxisGeometry {
    pub(super) source: usize,
    /// Source position of the first output under the first tap: minus the padding.
    pub(super) input_offset: isize,
    pub(super) input_stride: usize,
    /// Kernel taps in use.
    pub(super) taps: usize,
    /// Number of output positions.
    pub(super) outputs: usize,
    /// Target position of the first output.
    pub(super) output_offset: usize,
    pub(super) output_stride: usize,
    /// Kernel index of the first tap, and the step to the next.
    kernel: (usize, isize),
}

impl AxisGeometry {
    /// Geometry of a convolution padded by half a kernel: `ceil(source / step)` outputs.
    pub(super) fn of_convolution(source: usize, side: usize, step: usize) -> Self {
        Self {
            source,
            input_offset: -((side / 2) as isize),
            input_stride: step,
            taps: side,
            outputs: source.div_ceil(step),
            output_offset: 0,
            output_stride: 1,
            kernel: (0, 1),
        }
    }

    /// Geometry of the transposed convolution at every `step`th position of the volume, from the
    /// one that the taps `remainder`, `remainder + step`, ... read. `None` if no tap reads there.
    pub(super) fn of_transpose(
        volume: usize,
        side: usize,
        step: usize,
        remainder: usize,
    ) -> Option<Self> {
        let margin = side / 2;
        let taps = side.saturating_sub(remainder).div_ceil(step);
        // Place `step * j + remainder - margin` of the volume is read by places `j - a` of the
        // answer, under taps `remainder + step * a`.
        let from = margin.saturating_sub(remainder).div_ceil(step);
        let to = (volume + margin).saturating_sub(remainder).div_ceil(step);
        if taps == 0 || from >= to {
            return None;
        }
        Some(Self {
            source: volume.div_ceil(step),
            input_offset: from as isize + 1 - taps as isize,
            input_stride: 1,
            taps,
            outputs: to - from,
            output_offset: step * from + remainder - margin,
            output_stride: step,
            kernel: (remainder + step * (taps - 1), -(step as isize)),
        })
    }

    pub(super) fn kernel_tap(&self, tap: usize) -> usize {
        self.kernel.0.strict_add_signed(self.kernel.1 * tap as isize)
    }

    /// Number of remainders of source positions by the stride that the taps tell apart.
    pub(super) fn remainder_count(&self) -> usize {
        self.input_stride.min(self.taps)
    }

    /// Distance from the first to the last tap's read, in strides.
    pub(super) fn tap_reach(&self) -> usize {
        (self.taps - 1) / self.input_stride
    }

    /// Positions outside the source that lie at both ends of what is read, and can be the same ones for two rows.
    pub(super) fn shared_padding(&self) -> usize {
        if self.input_stride != 1 {
            return 0;
        }
        let read = self.input_offset + (self.outputs + self.tap_reach()) as isize;
        (-self.input_offset).min(read - self.source as isize).max(0) as usize
    }

    /// Range of `i` below `count` for which the source has position `input_offset + remainder + input_stride * i`.
    pub(super) fn read_positions(&self, remainder: usize, count: usize) -> Range<usize> {
        let first = self.input_offset.strict_add_unsigned(remainder);
        let below =
            |place: isize| ((place - first).max(0) as usize).div_ceil(self.input_stride).min(count);
        below(0)..below(self.source as isize)
    }

    /// Geometry of some of the outputs alone.
    pub(super) fn restrict_outputs(self, outputs: Range<usize>) -> Self {
        Self {
            input_offset: self.input_offset + (self.input_stride * outputs.start) as isize,
            output_offset: self.output_offset + self.output_stride * outputs.start,
            outputs: outputs.len(),
            ..self
        }
    }

    /// Output positions that lie in this part of the target.
    pub(super) fn positions_inside(&self, target: &Range<usize>) -> Range<usize> {
        let ahead_of =
            |place: usize| place.saturating_sub(self.output_offset).div_ceil(self.output_stride);
        ahead_of(target.start).min(self.outputs)..ahead_of(target.end).min(self.outputs)
    }
}

/// Geometry of the three axes, from the slowest to the fastest.
pub(super) type ConvGeometry = [AxisGeometry; 3];

/// Geometry of a convolution of a volume of extent `volume`.
pub(super) fn of_convolution(volume: [usize; 3], side: usize, step: usize) -> ConvGeometry {
    volume.map(|extent| AxisGeometry::of_convolution(extent, side, step))
}

/// Geometries of the transposed convolution to a volume of extent `volume`: one for each remainder
/// of its positions by the stride, which together are all that any tap reads.
pub(super) fn of_transpose(volume: [usize; 3], side: usize, step: usize) -> Vec<ConvGeometry> {
    let of_axis = |axis: usize| {
        let all = (0..step)
            .filter_map(move |rest| AxisGeometry::of_transpose(volume[axis], side, step, rest));
        all.collect::<Vec<AxisGeometry>>()
    };
    let [slow, middle, fast] = [of_axis(0), of_axis(1), of_axis(2)];
    let mut lattices = Vec::with_capacity(slow.len() * middle.len() * fast.len());
    for &z in &slow {
        for &y in &middle {
            lattices.extend(fast.iter().map(|&x| [z, y, x]));
        }
    }
    lattices
}

/// Kernel taps `[z, y, x]`, in memory order.
pub(super) fn tap_indices(lattice: &ConvGeometry) -> impl Iterator<Item = [usize; 3]> {
    let [z, y, x] = lattice.map(|axis| axis.taps);
    (0..z).flat_map(move |tz| (0..y).flat_map(move |ty| (0..x).map(move |tx| [tz, ty, tx])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_reads_exactly_what_the_way_ahead_wrote() {
        for (volume, side, step) in
            [(5, 3, 1), (8, 3, 2), (7, 3, 2), (4, 1, 2), (6, 5, 2), (1, 3, 2)]
        {
            let ahead = AxisGeometry::of_convolution(volume, side, step);
            let mut written = Vec::new();
            for place in 0..ahead.outputs {
                for tap in 0..side {
                    let from = ahead.input_offset + (step * place + tap) as isize;
                    if (0..volume as isize).contains(&from) {
                        written.push((from as usize, place, tap));
                    }
                }
            }
            let mut read = Vec::new();
            for axis in
                (0..step).filter_map(|rest| AxisGeometry::of_transpose(volume, side, step, rest))
            {
                for place in 0..axis.outputs {
                    for tap in 0..axis.taps {
                        let from = axis.input_offset + (place + tap) as isize;
                        if (0..ahead.outputs as isize).contains(&from) {
                            let target = axis.output_offset + axis.output_stride * place;
                            read.push((target, from as usize, axis.kernel_tap(tap)));
                        }
                    }
                }
            }
            written.sort_unstable();
            read.sort_unstable();
            assert_eq!(read, written, "{volume} places, {side} taps, step {step}");
        }
    }

    #[test]
    fn parts_of_the_target_hold_every_place_once() {
        let axis = AxisGeometry::of_transpose(9, 3, 2, 0).unwrap();
        let parts = [0..3, 3..4, 4..9].map(|part| axis.positions_inside(&part));
        assert_eq!(parts[0].start, 0);
        assert_eq!(parts[0].end, parts[1].start);
        assert_eq!(parts[1].end, parts[2].start);
        assert_eq!(parts[2].end, axis.outputs);
    }
}
