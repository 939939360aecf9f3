//! Pointwise map of one modality in single precision, from interpolated values to the network's
//! input.
//!
//! Interpolation gives two numbers per voxel and modality: `raw`, the weighted sum of raw values (0
//! outside tissue and outside the box), and `mass`, the weight that lay on tissue, 0 to 1. The
//! tissue's z-score is `v = factor * raw / mass + offset`, and the result `mass * f(v)`: at the
//! brain's edge it fades to 0, not to the z-score of raw 0. As long as `f` is linear the division
//! cancels, and all of normalisation, contrast and shift is `gain * raw + offset * mass`.

use crate::augment::normal::counter_normal;
use crate::augment::power::power;
use crate::augment::{Background, DrawnNoise, IntensityCurve, IntensityNormalisation};
use crate::cache::TissueHistogramView;
use crate::volume::Modality;

/// Number of voxels processed together: a vector register of `f32`.
pub(super) const LANES: usize = 8;

/// Pointwise map of one modality from raw values to intensities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntensityMap {
    /// Linear part: factor per raw step, and offset per unit of mass.
    gain: f32,
    offset: f32,
    bend: Option<GammaCurve>,
    noise: Option<DrawnNoise>,
    /// Value of voxels without tissue, unless they stay 0.
    air: Option<f32>,
    /// Channel of the modality.
    channel: u32,
}

/// Gamma over a modality's range.
#[derive(Debug, Clone, Copy, PartialEq)]
struct GammaCurve {
    /// Linear map of raw values to the share of the range, 0 to 1.
    gain: f32,
    offset: f32,
    exponent: f32,
    /// Linear map of the curved share to intensities: back to the range, or to the mean and standard
    /// deviation ahead of gamma.
    low: f32,
    span: f32,
}

impl IntensityMap {
    /// Creates the map of a modality that is left out: 0 everywhere.
    pub const fn zero_map(modality: Modality) -> Self {
        let channel = modality.index() as u32;
        Self { gain: 0.0, offset: 0.0, bend: None, noise: None, air: None, channel }
    }

    /// Composes normalisation, `curve` and noise for `modality`, whose tissue is counted in `tissue`.
    pub fn new(
        modality: Modality,
        intensity: &IntensityNormalisation,
        tissue: TissueHistogramView<'_>,
        curve: &IntensityCurve,
        noise: Option<DrawnNoise>,
        background: Background,
    ) -> Self {
        Self::of_voxels(modality, [intensity; 2], tissue, curve, noise, background)
    }

    /// Composes the map for voxels that are normalised by the first of two cases and stand in the second, whose
    /// tissue is counted in `tissue`: gamma bends between the second's extremes.
    pub(super) fn of_voxels(
        modality: Modality,
        [own, case]: [&IntensityNormalisation; 2],
        tissue: TissueHistogramView<'_>,
        curve: &IntensityCurve,
        noise: Option<DrawnNoise>,
        background: Background,
    ) -> Self {
        let linear = |z: f64| curve.contrast * z + curve.shift;
        let [low, high] = case.range.map(linear);
        // A modality without contrast has no range to bend.
        let exponent = curve.gamma.filter(|_| high > low);
        let mut ends = [low, high];
        let share_gain = |of: &IntensityNormalisation| curve.contrast * of.factor / (high - low);
        let share_offset = |of: &IntensityNormalisation| (linear(of.offset) - low) / (high - low);
        let bend = exponent.map(|exponent| {
            let straight = GammaCurve {
                gain: share_gain(case) as f32,
                offset: share_offset(case) as f32,
                exponent: exponent as f32,
                low: low as f32,
                span: (high - low) as f32,
            };
            if curve.retain_stats {
                // z-scores of tissue have mean 0 and standard deviation 1.
                let retaining = straight.ends_that_retain(tissue, curve.shift, curve.contrast);
                ends = retaining.unwrap_or(ends);
            }
            let [low, high] = ends.map(|end| end * curve.brightness);
            GammaCurve {
                gain: share_gain(own) as f32,
                offset: share_offset(own) as f32,
                low: low as f32,
                span: (high - low) as f32,
                ..straight
            }
        });
        let air = match exponent {
            Some(exponent) => {
                let share = ((linear(0.0) - low) / (high - low)).clamp(0.0, 1.0);
                ends[0] + (ends[1] - ends[0]) * share.powf(exponent)
            }
            None => linear(0.0),
        };
        let brightness = curve.brightness;
        let noise = noise.map(|noise| DrawnNoise {
            deviation: (f64::from(noise.deviation) * brightness) as f32,
            ..noise
        });
        Self {
            gain: (curve.contrast * own.factor * brightness) as f32,
            offset: (linear(own.offset) * brightness) as f32,
            bend,
            noise,
            air: (background == Background::Augmented).then_some((air * brightness) as f32),
            channel: modality.index() as u32,
        }
    }

    /// Returns true if voxels without tissue may differ from 0.
    pub(super) const fn changes_background(&self) -> bool {
        self.air.is_some()
    }

    /// Factors of raw value and mass whose sum is the intensity, where that is all of the map.
    #[cfg(target_arch = "x86_64")]
    pub(super) const fn linear_coefficients(&self) -> Option<[f32; 2]> {
        match (&self.bend, &self.noise, self.air) {
            (None, None, None) => Some([self.gain, self.offset]),
            _ => None,
        }
    }

    /// Turns the `raw` values of a row into intensities; `first` is its first voxel's index in the
    /// patch.
    ///
    /// Lengths are multiples of [`LANES`]. Inlined into each kernel, which compiles it for its
    /// instructions; no operation in it may be rounded differently by a compiler.
    #[inline(always)]
    pub(super) fn apply_to_row(&self, raw: &mut [f32], mass: &[f32], first: u32) {
        debug_assert_eq!(raw.len() % LANES, 0, "whole groups of voxels");
        match &self.bend {
            Some(bend) => map_voxels(raw, mass, |raw, mass| bend.apply_gamma(raw, mass)),
            None => map_voxels(raw, mass, |raw, mass| self.gain * raw + self.offset * mass),
        }
        if let Some(air) = self.air {
            map_voxels(raw, mass, |value, mass| value + (1.0 - mass) * air);
        }
        if let Some(noise) = &self.noise {
            let everywhere = if self.changes_background() { 1.0 } else { 0.0 };
            add_noise(raw, mass, noise, everywhere, (first, self.channel));
        }
    }
}

impl GammaCurve {
    #[inline(always)]
    fn apply_gamma(&self, raw: f32, mass: f32) -> f32 {
        let mean = if mass > 0.0 { raw / mass } else { 0.0 };
        // Adding 0 turns the background's -0 into 0.
        mass * (self.low + self.span * self.curved_share(mean)) + 0.0
    }

    /// Computes the share of the range, 0 to 1, that a raw value has after gamma.
    #[inline(always)]
    fn curved_share(&self, raw: f32) -> f32 {
        power((self.gain * raw + self.offset).clamp(0.0, 1.0), self.exponent)
    }

    /// Computes the intensities of the shares 0 and 1 that give the tissue this mean and standard
    /// deviation after gamma; `None` without tissue.
    fn ends_that_retain(
        &self,
        tissue: TissueHistogramView<'_>,
        mean: f64,
        sd: f64,
    ) -> Option<[f64; 2]> {
        let curved = |raw: f64| f64::from(self.curved_share(raw as f32));
        let (curved_mean, curved_sd) = tissue.mean_and_sd(curved);
        let span = sd / curved_sd;
        span.is_finite().then_some([mean - curved_mean * span, mean + (1.0 - curved_mean) * span])
    }
}

#[inline(always)]
fn map_voxels(raw: &mut [f32], mass: &[f32], of: impl Fn(f32, f32) -> f32) {
    for (raw, mass) in raw.iter_mut().zip(mass) {
        *raw = of(*raw, *mass);
    }
}

/// Adds noise to tissue, and with `everywhere` = 1 equally to the background.
#[inline(always)]
fn add_noise(
    raw: &mut [f32],
    mass: &[f32],
    noise: &DrawnNoise,
    everywhere: f32,
    (first, channel): (u32, u32),
) {
    const CHANNELS: u32 = Modality::COUNT as u32;
    for (ahead, (raw, mass)) in (0u32..).zip(raw.iter_mut().zip(mass)) {
        let voxel = first.wrapping_add(ahead);
        let counter = voxel.wrapping_mul(CHANNELS).wrapping_add(channel);
        let amplitude = noise.deviation * mass.max(everywhere);
        *raw = *raw + amplitude * counter_normal(noise.key, counter) + 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTENSITY: IntensityNormalisation =
        IntensityNormalisation { factor: 0.01, offset: -3.0, range: [-2.99, 5.0] };

    fn toned(curve: IntensityCurve, background: Background, raw: f32, mass: f32) -> f32 {
        let tissue = TissueHistogramView::default();
        let tone = IntensityMap::new(Modality::T1, &INTENSITY, tissue, &curve, None, background);
        let mut row = [raw; LANES];
        tone.apply_to_row(&mut row, &[mass; LANES], 0);
        row[0]
    }

    #[test]
    fn the_edge_fades_to_nothing_not_to_the_score_of_raw_zero() {
        let linear = toned(IntensityCurve::IDENTITY, Background::Zero, 400.0 * 0.25, 0.25);
        assert!((linear - 0.25).abs() < 1e-6, "a quarter of z = 1: {linear}");
        let bent = IntensityCurve { gamma: Some(1.0), ..IntensityCurve::IDENTITY };
        assert!((toned(bent, Background::Zero, 100.0, 0.25) - 0.25).abs() < 1e-6);
    }

    #[test]
    fn air_stays_plus_zero_or_becomes_what_a_score_of_zero_becomes() {
        let curve = IntensityCurve {
            contrast: 2.0,
            shift: -0.5,
            gamma: Some(0.7),
            ..IntensityCurve::IDENTITY
        };
        assert_eq!(toned(curve, Background::Zero, 0.0, 0.0).to_bits(), 0);
        let air = toned(curve, Background::Augmented, 0.0, 0.0);
        let tissue = toned(curve, Background::Zero, 300.0, 1.0);
        assert!((air - tissue).abs() < 1e-5, "{air} {tissue}");
    }

    #[test]
    fn gamma_keeps_the_ends_and_lifts_what_lies_between_if_below_one() {
        let curve = IntensityCurve {
            contrast: 1.1,
            shift: 0.1,
            gamma: Some(0.7),
            ..IntensityCurve::IDENTITY
        };
        let straight = IntensityCurve { gamma: None, ..curve };
        for end in [1.0, 800.0] {
            let (bent, kept) = (
                toned(curve, Background::Zero, end, 1.0),
                toned(straight, Background::Zero, end, 1.0),
            );
            assert!((bent - kept).abs() < 1e-5, "{bent} {kept}");
        }
        let lifted = toned(curve, Background::Zero, 200.0, 1.0);
        assert!(lifted > toned(straight, Background::Zero, 200.0, 1.0) + 0.3);
    }

    #[test]
    fn a_modality_of_one_value_has_no_range_to_bend() {
        let flat = IntensityNormalisation { factor: 0.0, offset: 0.0, range: [0.0; 2] };
        let curve = IntensityCurve { shift: 0.25, gamma: Some(0.7), ..IntensityCurve::IDENTITY };
        let tissue = TissueHistogramView::default();
        let tone = IntensityMap::new(Modality::T2, &flat, tissue, &curve, None, Background::Zero);
        let mut row = [9.0; LANES];
        tone.apply_to_row(&mut row, &[1.0; LANES], 0);
        assert_eq!(row, [0.25; LANES]);
    }

    #[test]
    fn noise_follows_the_tissue_and_the_number_of_the_voxel() {
        let noise = DrawnNoise { deviation: 0.5, key: [3, 4] };
        let of = |background, first, mass| {
            let tone = IntensityMap::new(
                Modality::T1ce,
                &INTENSITY,
                TissueHistogramView::default(),
                &IntensityCurve::IDENTITY,
                Some(noise),
                background,
            );
            let mut row = [0.0; 2 * LANES];
            tone.apply_to_row(&mut row, &[mass; 2 * LANES], first);
            row
        };
        assert_eq!(of(Background::Zero, 0, 0.0).map(f32::to_bits), [0; 2 * LANES]);
        let air = of(Background::Augmented, 0, 0.0);
        assert!((air[5] - 0.5 * counter_normal([3, 4], 5 * 4 + 1)).abs() < 1e-7);
        assert_eq!(of(Background::Augmented, 8, 0.0)[..LANES], air[LANES..]);
    }
}
