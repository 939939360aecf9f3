//! Writes parts of rows into the patch, rounding to half precision if asked.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::augment::PatchImages;
use crate::augment::kernel::FinishedRow;

/// Maps a part of a row to intensities and writes them from index `at` on.
#[inline(always)]
pub(super) fn finish_row(row: FinishedRow<'_>, images: &mut PatchImages<'_>, at: usize) {
    let FinishedRow { raw, mass, map, first, length } = row;
    map.apply_to_row(raw, mass, first);
    write_row(&raw[..length], images, at);
}

/// Writes intensities from index `at` on.
pub(super) fn write_row(from: &[f32], images: &mut PatchImages<'_>, at: usize) {
    let places = at..at + from.len();
    match images {
        PatchImages::F16(values) => values[places].convert_from_f32_slice(from),
        PatchImages::F32(values) => values[places].copy_from_slice(from),
    }
}

pub(super) fn fill_background(images: &mut PatchImages<'_>, places: Range<usize>) {
    match images {
        PatchImages::F16(values) => values[places].fill(f16::ZERO),
        PatchImages::F32(values) => values[places].fill(0.0),
    }
}
