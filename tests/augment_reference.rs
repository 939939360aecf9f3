//! The augmentation pass once more, in f64: slow, obvious, and written from the definitions instead
//! of from the kernel. One voxel at a time, one modality at a time.
#![allow(clippy::unwrap_used)]

use gliaflow::internals::augment::{Background, CaseView, DrawnParams, Window};

/// Closer to the middle between two voxels than this, either label is right.
const TIE: f64 = 1e-9;

/// What one patch should be.
pub(crate) struct Expected {
    /// `[c, d, h, w]`.
    pub(crate) images: Vec<f64>,
    /// `[d, h, w]`; `None` where two voxels are equally near.
    pub(crate) labels: Vec<Option<u8>>,
}

pub(crate) fn reference(
    view: &CaseView<'_>,
    window: Window,
    drawn: &DrawnParams,
    background: Background,
) -> Expected {
    let voxels = window.dims.voxel_count();
    let mut images = vec![0.0; 4 * voxels];
    let mut labels = Vec::with_capacity(voxels);
    for voxel in 0..voxels {
        let place = source_place(view, window, drawn, window.dims.zyx_from_offset(voxel));
        for channel in 0..4 {
            let (raw, weight) = trilinear(view, place, channel);
            images[channel * voxels + voxel] = tone(view, drawn, background, channel, raw, weight)
                + noise(drawn, background, channel, voxel, weight);
        }
        labels.push(nearest(view, place));
    }
    Expected { images, labels }
}

/// The place in the box that a voxel of the patch shows: the transforms undone, last first, in mm
/// about the patch's centre.
fn source_place(
    view: &CaseView<'_>,
    window: Window,
    drawn: &DrawnParams,
    at: [usize; 3],
) -> [f64; 3] {
    let centre = window.dims.0.map(|side| (side as f64 - 1.0) / 2.0);
    let spacing = view.spacing_mm();
    let mut mm: [f64; 3] =
        std::array::from_fn(|axis| (at[axis] as f64 - centre[axis]) * spacing[axis]);
    for (along, mirrored) in mm.iter_mut().zip(drawn.mirroring) {
        if mirrored {
            *along = -*along;
        }
    }
    if let Some(factor) = drawn.scaling {
        mm = mm.map(|along| along / f64::from(factor));
    }
    if let Some([about_z, about_y, about_x]) = drawn.rotation {
        let [z, y, x] = mm;
        let (z, y) = turned_back(z, y, about_x); // y towards z
        let (x, z) = turned_back(x, z, about_y); // z towards x
        let (y, x) = turned_back(y, x, about_z); // x towards y
        mm = [z, y, x];
    }
    std::array::from_fn(|axis| window.corner[axis] as f64 + centre[axis] + mm[axis] / spacing[axis])
}

/// `(to, from)` before a turn of `from` towards `to`.
fn turned_back(to: f64, from: f64, degrees: f32) -> (f64, f64) {
    let angle = f64::from(degrees).to_radians();
    (to * angle.cos() - from * angle.sin(), to * angle.sin() + from * angle.cos())
}

fn raw_at(view: &CaseView<'_>, cell: [i64; 3], channel: usize) -> i16 {
    let dims = view.brain_dims();
    let inside = (0..3).all(|axis| cell[axis] >= 0 && cell[axis] < dims.0[axis] as i64);
    if inside {
        view.images()[dims.offset_from_zyx(cell.map(|along| along as usize))][channel]
    } else {
        0
    }
}

fn trilinear(view: &CaseView<'_>, place: [f64; 3], channel: usize) -> (f64, f64) {
    let (mut sum, mut mass) = (0.0, 0.0);
    for corner in 0..8 {
        let mut weight = 1.0;
        let cell = std::array::from_fn(|axis| {
            let below = place[axis].floor();
            let upper = corner >> axis & 1 == 1;
            weight *= if upper { place[axis] - below } else { 1.0 - (place[axis] - below) };
            below as i64 + i64::from(upper)
        });
        let raw = raw_at(view, cell, channel);
        sum += weight * f64::from(raw);
        mass += if raw == 0 { 0.0 } else { weight };
    }
    (sum, mass)
}

/// `f` of a z-score: contrast and shift, then gamma over the case's range; then, where it is asked,
/// the mean and standard deviation of the tissue as they were.
fn curve(view: &CaseView<'_>, drawn: &DrawnParams, channel: usize, z: f64) -> f64 {
    let contrast = drawn.contrast.map_or(1.0, |factors| f64::from(factors[channel]));
    let shift = drawn.shift.map_or(0.0, |amounts| f64::from(amounts[channel]));
    let linear = |z: f64| shift + contrast * z;
    let [low, high] = view.intensities()[channel].range.map(linear);
    match &drawn.gamma {
        Some(gamma) if high > low => {
            let exponent = f64::from(gamma.exponents[channel]);
            let bend = |z: f64| ((linear(z) - low) / (high - low)).clamp(0.0, 1.0).powf(exponent);
            if !gamma.retain_stats {
                return low + (high - low) * bend(z);
            }
            let (mean, sd) = tissue_statistics(view, channel, bend);
            let (mean_before, sd_before) = tissue_statistics(view, channel, linear);
            (bend(z) - mean) / sd * sd_before + mean_before
        }
        _ => linear(z),
    }
}

/// Mean and standard deviation of a function of the tissue's z-scores.
fn tissue_statistics(view: &CaseView<'_>, channel: usize, of: impl Fn(f64) -> f64) -> (f64, f64) {
    let intensity = &view.intensities()[channel];
    let tissue = view.images().iter().map(|voxel| voxel[channel]).filter(|raw| *raw != 0);
    let z = tissue.map(|raw| intensity.factor * f64::from(raw) + intensity.offset);
    let values: Vec<f64> = z.map(of).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (mean, (squares / count).sqrt())
}

fn tone(
    view: &CaseView<'_>,
    drawn: &DrawnParams,
    background: Background,
    channel: usize,
    raw: f64,
    mass: f64,
) -> f64 {
    let intensity = &view.intensities()[channel];
    let mut value = 0.0;
    if mass > 0.0 {
        let z = (intensity.factor * raw + intensity.offset * mass) / mass;
        value += mass * curve(view, drawn, channel, z);
    }
    if background == Background::Augmented {
        value += (1.0 - mass) * curve(view, drawn, channel, 0.0);
    }
    value
}

fn noise(
    drawn: &DrawnParams,
    background: Background,
    channel: usize,
    voxel: usize,
    mass: f64,
) -> f64 {
    let Some(noise) = drawn.noise else { return 0.0 };
    let mix = |word: u32| {
        let word = (word ^ (word >> 16)).wrapping_mul(0x7feb_352d);
        let word = (word ^ (word >> 15)).wrapping_mul(0x846c_a68b);
        word ^ (word >> 16)
    };
    let first = mix((4 * voxel + channel) as u32 ^ noise.key[0]);
    let second = mix(first ^ noise.key[1]);
    let bytes = first.to_le_bytes().into_iter().chain(second.to_le_bytes());
    let sum: f64 = bytes.map(f64::from).sum();
    let normal = (sum - 8.0 * 127.5) / (8.0 * (256.0f64.powi(2) - 1.0) / 12.0).sqrt();
    let share = if background == Background::Augmented { 1.0 } else { mass };
    f64::from(noise.deviation) * share * normal
}

fn nearest(view: &CaseView<'_>, place: [f64; 3]) -> Option<u8> {
    let Some(labels) = view.labels() else { return Some(0) };
    let tied = place.iter().any(|along| ((along + 0.5).rem_euclid(1.0) - 0.5).abs() > 0.5 - TIE);
    if tied {
        return None;
    }
    let dims = view.brain_dims();
    let cell = place.map(|along| (along + 0.5).floor() as i64);
    let inside = (0..3).all(|axis| cell[axis] >= 0 && cell[axis] < dims.0[axis] as i64);
    Some(if inside { labels[dims.offset_from_zyx(cell.map(|along| along as usize))] } else { 0 })
}
