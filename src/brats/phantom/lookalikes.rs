//! Tumour mimics, which defeat a threshold: white-matter lesions and periventricular caps in FLAIR
//! and T2, bright cortex in FLAIR, vessels in T1ce.

use super::anatomy::{Anatomy, Tissue};
use super::frame::{Frame, Point, length, minus};
use super::noise::{NoiseField, smoothstep, soft_below};
use super::streams::{PhantomRng, Stream};

/// Shares of tumour mimics at a point.
#[derive(Debug, Clone, Copy)]
pub(super) struct MimicShares {
    /// Share of white-matter lesion or periventricular cap.
    pub(super) lesion: f32,
    /// Share of vessel or enhancing meninges.
    pub(super) vessel: f32,
    /// Brightness of grey matter in FLAIR: 0 as usual, 1 at its brightest.
    pub(super) bright_cortex: f32,
}

/// Tumour mimics of one case.
pub(super) struct TumourMimics {
    lesions: Vec<(Point, f32)>,
    outline: NoiseField,
    cap_mm: f32,
    insula: NoiseField,
    vessels: [NoiseField; 2],
    vessel_mm: f32,
    softness: f32,
}

impl TumourMimics {
    /// Draws a case's mimics; few in one head, many in another.
    pub(super) fn draw(draws: PhantomRng, anatomy: &Anatomy, frame: &Frame) -> Self {
        let mut rng = draws.stream(Stream::Lesions);
        let wanted = 8 + rng.uniform_below(24);
        let mut lesions = Vec::new();
        for _ in 0..wanted {
            let centre = [
                rng.uniform(-48.0, 48.0) as f32,
                rng.uniform(-62.0, 62.0) as f32,
                rng.uniform(-10.0, 45.0) as f32,
            ];
            let radius = rng.uniform(3.0, 7.0) as f32;
            if anatomy.depth_mm(centre) > 12.0 {
                lesions.push((centre, radius));
            }
        }
        let mut vessels = draws.stream(Stream::Vessels);
        Self {
            lesions,
            cap_mm: rng.uniform(2.0, 6.5) as f32,
            outline: NoiseField::new(&mut rng, 12.0),
            insula: NoiseField::new(&mut rng, 38.0),
            vessel_mm: vessels.uniform(0.9, 1.6) as f32,
            vessels: [NoiseField::new(&mut vessels, 24.0), NoiseField::new(&mut vessels, 19.0)],
            softness: (0.4 * frame.voxel_mm()).max(0.6),
        }
    }

    /// Shares of mimics at a point inside the brain.
    pub(super) fn shares_at(&self, p: Point, tissue: &Tissue) -> MimicShares {
        let white = (1.0 - tissue.csf - tissue.grey).max(0.0);
        let bright_cortex = smoothstep(2.2 * self.insula.value_at(p) - 0.1);
        MimicShares {
            lesion: self.lesion_share(p, tissue) * white,
            vessel: self.vessel_share(p, tissue),
            bright_cortex,
        }
    }

    fn lesion_share(&self, p: Point, tissue: &Tissue) -> f32 {
        let mut nearest = f32::MAX;
        for (centre, radius) in &self.lesions {
            nearest = nearest.min(length(minus(p, *centre)) - radius);
        }
        let cap = tissue.ventricle - self.cap_mm;
        if nearest.min(cap) > 8.0 {
            return 0.0;
        }
        let uneven = self.outline.value_at(p);
        let spot = soft_below(nearest + 2.5 * uneven, 0.0, self.softness);
        spot.max(soft_below(cap + 3.5 * uneven, 0.0, self.softness))
    }

    /// Tubes where two noises are both near 0, thicker near the surface, and the dura's streaks.
    fn vessel_share(&self, p: Point, tissue: &Tissue) -> f32 {
        let first = self.vessels[0].value_at(p).abs() / 0.045;
        if first > 6.0 {
            return 0.0;
        }
        let second = self.vessels[1].value_at(p).abs() / 0.055;
        let distance = (first * first + second * second).sqrt();
        let width = self.vessel_mm * (0.8 + 0.9 * soft_below(tissue.depth, 14.0, 14.0));
        let tube = soft_below(distance, width, self.softness);
        let dura =
            soft_below(tissue.depth, 2.2, self.softness) * soft_below(first, 1.5, self.softness);
        tube.max(dura)
    }
}
