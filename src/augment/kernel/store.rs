//! Writes parts of rows into the patch, rounding to half precision if asked.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::augment::kernel::Images;

/// Writes intensities from index `at` on.
pub(super) fn row(from: &[f32], images: &mut Images<'_>, at: usize) {
    let places = at..at + from.len();
    match images {
        Images::F16(values) => values[places].convert_from_f32_slice(from),
        Images::F32(values) => values[places].copy_from_slice(from),
    }
}

/// Writes background.
pub(super) fn clear(images: &mut Images<'_>, places: Range<usize>) {
    match images {
        Images::F16(values) => values[places].fill(f16::ZERO),
        Images::F32(values) => values[places].fill(0.0),
    }
}
