//! Tumour mimics, which defeat a threshold: white-matter lesions and periventricular caps in FLAIR
//! and T2, bright cortex in FLAIR, vessels in T1ce.

use super::anatomy::{Anatomy, Tissue};
use super::frame::{Frame, Point, length, minus};
use super::noise::{Noise, below, smoothstep};
use super::streams::{Draws, Stream};

/// Shares of tumour mimics at a point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lookalike {
    /// Share of white-matter lesion or periventricular cap.
    pub(super) lesion: f32,
    /// Share of vessel or enhancing meninges.
    pub(super) vessel: f32,
    /// Brightness of grey matter in FLAIR: 0 as usual, 1 at its brightest.
    pub(super) bright_cortex: f32,
}

/// Tumour mimics of one case.
pub(super) struct Lookalikes {
    lesions: Vec<(Point, f32)>,
    outline: Noise,
    cap_mm: f32,
    insula: Noise,
    vessels: [Noise; 2],
    vessel_mm: f32,
    softness: f32,
}

impl Lookalikes {
    /// Draws a case's mimics; few in one head, many in another.
    pub(super) fn draw(draws: Draws, anatomy: &Anatomy, frame: &Frame) -> Self {
        let mut rng = draws.stream(Stream::Lesions);
        let wanted = 8 + rng.below(24);
        let mut lesions = Vec::new();
        for _ in 0..wanted {
            let centre = [
                rng.uniform(-48.0, 48.0) as f32,
                rng.uniform(-62.0, 62.0) as f32,
                rng.uniform(-10.0, 45.0) as f32,
            ];
            let radius = rng.uniform(3.0, 7.0) as f32;
            if anatomy.depth(centre) > 12.0 {
                lesions.push((centre, radius));
            }
        }
        let mut vessels = draws.stream(Stream::Vessels);
        Self {
            lesions,
            cap_mm: rng.uniform(2.0, 6.5) as f32,
            outline: Noise::new(&mut rng, 12.0),
            insula: Noise::new(&mut rng, 38.0),
            vessel_mm: vessels.uniform(0.9, 1.6) as f32,
            vessels: [Noise::new(&mut vessels, 24.0), Noise::new(&mut vessels, 19.0)],
            softness: (0.4 * frame.voxel_mm()).max(0.6),
        }
    }

    /// Shares of mimics at a point inside the brain.
    pub(super) fn at(&self, p: Point, tissue: &Tissue) -> Lookalike {
        let white = (1.0 - tissue.csf - tissue.grey).max(0.0);
        let bright_cortex = smoothstep(2.2 * self.insula.at(p) - 0.1);
        Lookalike {
            lesion: self.lesion(p, tissue) * white,
            vessel: self.vessel(p, tissue),
            bright_cortex,
        }
    }

    fn lesion(&self, p: Point, tissue: &Tissue) -> f32 {
        let mut nearest = f32::MAX;
        for (centre, radius) in &self.lesions {
            nearest = nearest.min(length(minus(p, *centre)) - radius);
        }
        let cap = tissue.ventricle - self.cap_mm;
        if nearest.min(cap) > 8.0 {
            return 0.0;
        }
        let uneven = self.outline.at(p);
        let spot = below(nearest + 2.5 * uneven, 0.0, self.softness);
        spot.max(below(cap + 3.5 * uneven, 0.0, self.softness))
    }

    /// Tubes where two noises are both near 0, thicker near the surface, and the dura's streaks.
    fn vessel(&self, p: Point, tissue: &Tissue) -> f32 {
        let first = self.vessels[0].at(p).abs() / 0.045;
        if first > 6.0 {
            return 0.0;
        }
        let second = self.vessels[1].at(p).abs() / 0.055;
        let distance = (first * first + second * second).sqrt();
        let width = self.vessel_mm * (0.8 + 0.9 * below(tissue.depth, 14.0, 14.0));
        let tube = below(distance, width, self.softness);
        let dura = below(tissue.depth, 2.2, self.softness) * below(first, 1.5, self.softness);
        tube.max(dura)
    }
}
