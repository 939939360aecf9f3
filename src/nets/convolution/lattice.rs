//! Which place reads which: the lattice of a convolution, and those of the way back to its volume.

use std::ops::Range;

/// One axis: place `o` of the answer, under tap `t`, reads place `first + step * o + t` of the
/// source, zero where there is none, and is written to place `start + stride * o` of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    /// Places of the source.
    pub(super) source: usize,
    /// What the first place of the answer reads under the first tap.
    pub(super) first: isize,
    /// From one place of the answer to the next, in the source.
    pub(super) step: usize,
    /// Taps of the kernel that are used.
    pub(super) taps: usize,
    /// Places of the answer.
    pub(super) outputs: usize,
    /// Where the first place of the answer lies in the target.
    pub(super) start: usize,
    /// From one place of the answer to the next, in the target.
    pub(super) stride: usize,
    /// Which tap of the kernel the first one is, and how far it is to the next.
    kernel: (usize, isize),
}

impl Axis {
    /// Of a convolution with zeros half a kernel around: `ceil(source / step)` places.
    pub(super) fn ahead(source: usize, side: usize, step: usize) -> Self {
        let first = -((side / 2) as isize);
        let outputs = source.div_ceil(step);
        let kernel = (0, 1);
        Self { source, first, step, taps: side, outputs, start: 0, stride: 1, kernel }
    }

    /// Of the way back: every `step`th place of the volume, from the one that the taps `remainder`,
    /// `remainder + step`, ... read. `None` if no tap reads there.
    pub(super) fn back(volume: usize, side: usize, step: usize, remainder: usize) -> Option<Self> {
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
            first: from as isize + 1 - taps as isize,
            step: 1,
            taps,
            outputs: to - from,
            start: step * from + remainder - margin,
            stride: step,
            kernel: (remainder + step * (taps - 1), -(step as isize)),
        })
    }

    /// The kernel's tap that tap `tap` is.
    pub(super) fn kernel_tap(&self, tap: usize) -> usize {
        self.kernel.0.strict_add_signed(self.kernel.1 * tap as isize)
    }

    /// Remainders of places of the source, by `step`, that the taps tell apart.
    pub(super) fn remainders(&self) -> usize {
        self.step.min(self.taps)
    }

    /// How many places further than the first tap the last one reads, in units of `step`.
    pub(super) fn reach(&self) -> usize {
        (self.taps - 1) / self.step
    }

    /// The places of the answer that lie in this part of the target.
    pub(super) fn inside(&self, target: &Range<usize>) -> Range<usize> {
        let ahead_of = |place: usize| place.saturating_sub(self.start).div_ceil(self.stride);
        ahead_of(target.start).min(self.outputs)..ahead_of(target.end).min(self.outputs)
    }
}

/// The three axes, from the slowest to the fastest.
pub(super) type Lattice = [Axis; 3];

/// Of a convolution of a volume of extent `volume`.
pub(super) fn ahead(volume: [usize; 3], side: usize, step: usize) -> Lattice {
    volume.map(|extent| Axis::ahead(extent, side, step))
}

/// Of the way back to a volume of extent `volume`: one for each remainder of its places, which
/// together are all places that any tap reads.
pub(super) fn back(volume: [usize; 3], side: usize, step: usize) -> Vec<Lattice> {
    let of_axis = |axis: usize| {
        let all = (0..step).filter_map(move |rest| Axis::back(volume[axis], side, step, rest));
        all.collect::<Vec<Axis>>()
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

/// The taps of a lattice, in the order of the kernel's numbers.
pub(super) fn taps(lattice: &Lattice) -> impl Iterator<Item = [usize; 3]> {
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
            let ahead = Axis::ahead(volume, side, step);
            let mut written = Vec::new();
            for place in 0..ahead.outputs {
                for tap in 0..side {
                    let from = ahead.first + (step * place + tap) as isize;
                    if (0..volume as isize).contains(&from) {
                        written.push((from as usize, place, tap));
                    }
                }
            }
            let mut read = Vec::new();
            for axis in (0..step).filter_map(|rest| Axis::back(volume, side, step, rest)) {
                for place in 0..axis.outputs {
                    for tap in 0..axis.taps {
                        let from = axis.first + (place + tap) as isize;
                        if (0..ahead.outputs as isize).contains(&from) {
                            let target = axis.start + axis.stride * place;
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
        let axis = Axis::back(9, 3, 2, 0).unwrap();
        let parts = [0..3, 3..4, 4..9].map(|part| axis.inside(&part));
        assert_eq!(parts[0].start, 0);
        assert_eq!(parts[0].end, parts[1].start);
        assert_eq!(parts[1].end, parts[2].start);
        assert_eq!(parts[2].end, axis.outputs);
    }
}
