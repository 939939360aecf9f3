//! Intensities of the four sequences from the tissue composition: contrast of each sequence, gain
//! and contrast of the case, a smooth bias field, texture, receiver noise.

use super::frame::{EXTENT_MM, Frame, Point, dot};
use super::noise::NoiseField;
use super::streams::{PhantomRng, Stream};
use super::tumour::random_direction;
use crate::base::KeyedRng;
use crate::volume::Modality;

/// Tissue class; the order of [`TissueMixture`] and of the contrast tables.
#[derive(Debug, Clone, Copy)]
pub(super) enum TissueClass {
    Csf,
    Grey,
    White,
    Lesion,
    Vessel,
    Oedema,
    Necrosis,
    Enhancing,
}

/// Number of tissue classes.
const MATTERS: usize = 8;

/// Signal of each [`TissueClass`], white matter of T1 being 1. Rows in the order of
/// [`Modality::ALL`].
const SIGNAL: [[f32; MATTERS]; Modality::COUNT] = [
    // CSF, grey, white, lesion, vessel, oedema, necrosis, enhancing
    [0.30, 0.76, 1.00, 0.91, 0.60, 0.66, 0.48, 0.64],
    [0.32, 0.78, 1.00, 0.93, 1.75, 0.68, 0.50, 1.55],
    [1.60, 0.66, 0.50, 0.76, 0.40, 1.02, 1.26, 0.92],
    [0.16, 0.76, 0.64, 1.16, 0.55, 1.14, 0.84, 1.10],
];
/// Solid tumour without enhancement, in place of necrosis.
const SOLID_SIGNAL: [f32; Modality::COUNT] = [0.52, 0.54, 1.25, 1.12];
/// Largest relative deviation of a case's signals from the table, each on its own.
const STRAY: f64 = 0.06;
/// Extra FLAIR signal of the brightest cortex.
const BRIGHT_CORTEX: f32 = 0.38;

/// Shares of each [`TissueClass`]; they add up to 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct TissueMixture([f32; MATTERS]);

impl TissueMixture {
    /// Healthy tissue.
    pub(super) fn healthy(csf: f32, grey: f32) -> Self {
        let mut shares = [0.0; MATTERS];
        shares[TissueClass::Csf as usize] = csf;
        shares[TissueClass::Grey as usize] = grey;
        shares[TissueClass::White as usize] = 1.0 - csf - grey;
        Self(shares)
    }

    /// Replaces `share` of the mixture by `matter`.
    pub(super) fn replace_share(&mut self, matter: TissueClass, share: f32) {
        if share <= 0.0 {
            return;
        }
        for own in &mut self.0 {
            *own *= 1.0 - share;
        }
        self.0[matter as usize] += share;
    }

    fn grey_share(&self) -> f32 {
        self.0[TissueClass::Grey as usize]
    }
}

/// MRI sequence of one case.
struct Sequence {
    signal: [f32; MATTERS],
    gain: f32,
    bias: NoiseField,
    bias_strength: f32,
    ramp: Point,
    texture: f32,
    noise: f32,
}

/// Scanner settings of one case.
pub(super) struct Scanner {
    sequences: [Sequence; Modality::COUNT],
    texture: [NoiseField; 2],
    receiver: KeyedRng,
}

impl Scanner {
    /// Draws a case's scanner settings. Texture is a few voxels wide on any grid, and noise is the
    /// same: averaged away on a coarse grid, they would leave the tumour to a threshold.
    pub(super) fn draw(draws: PhantomRng, solid_core: bool, frame: &Frame) -> Self {
        let mut contrast = draws.stream(Stream::Contrast);
        let mut bias = draws.stream(Stream::Bias);
        let conspicuity = contrast.uniform(0.88, 1.15) as f32;
        let sequences = Modality::ALL.map(|modality| {
            let mut signal = SIGNAL[modality.index()];
            if solid_core {
                signal[TissueClass::Necrosis as usize] = SOLID_SIGNAL[modality.index()];
            }
            let white = signal[TissueClass::White as usize];
            for matter in [TissueClass::Oedema, TissueClass::Necrosis, TissueClass::Enhancing] {
                let own = &mut signal[matter as usize];
                *own = white + (*own - white) * conspicuity;
            }
            for own in &mut signal {
                *own *= contrast.uniform(1.0 - STRAY, 1.0 + STRAY) as f32;
            }
            let slope = bias.uniform(0.0, 0.16) as f32;
            Sequence {
                signal,
                gain: contrast.uniform(260.0, 900.0) as f32,
                bias_strength: bias.uniform(0.14, 0.32) as f32,
                ramp: random_direction(&mut bias).map(|way| way * slope / (0.3 * EXTENT_MM[0])),
                bias: NoiseField::new(&mut bias, 75.0),
                texture: contrast.uniform(0.05, 0.11) as f32,
                noise: contrast.uniform(0.02, 0.045) as f32,
            }
        });
        let mut grain = draws.stream(Stream::Texture);
        let fine = (1.6 * frame.voxel_mm()).max(2.5);
        Self {
            sequences,
            texture: [NoiseField::new(&mut grain, fine), NoiseField::new(&mut grain, 2.2 * fine)],
            receiver: draws.stream(Stream::Receiver),
        }
    }

    /// Intensities of one voxel inside the brain, in the order of [`Modality::ALL`]; all above 0.
    /// Draws receiver noise, so voxels are read in memory order.
    pub(super) fn read_voxel(
        &mut self,
        p: Point,
        mixture: &TissueMixture,
        bright_cortex: f32,
    ) -> [i16; 4] {
        let grain = [self.texture[0].value_at(p), self.texture[1].value_at(p)];
        let cortex = BRIGHT_CORTEX * bright_cortex * mixture.grey_share();
        std::array::from_fn(|channel| {
            let sequence = &self.sequences[channel];
            let mut signal: f32 =
                mixture.0.iter().zip(&sequence.signal).map(|(share, own)| share * own).sum();
            if channel == Modality::Flair.index() {
                signal += cortex;
            }
            // Neighbouring sequences share a texture in part, as tissue does.
            let blend = 0.25 * channel as f32;
            let textured = 1.0 + sequence.texture * (grain[0] * (1.0 - blend) + grain[1] * blend);
            let bias =
                1.0 + sequence.bias_strength * sequence.bias.value_at(p) + dot(sequence.ramp, p);
            let clean = signal * textured * bias.max(0.3);
            let real = clean + sequence.noise * approximate_normal(&mut self.receiver);
            let imaginary = sequence.noise * approximate_normal(&mut self.receiver);
            let magnitude = (real * real + imaginary * imaginary).sqrt();
            (magnitude * sequence.gain).round().clamp(1.0, 32767.0) as i16
        })
    }
}

/// A bell-shaped draw of mean 0 and deviation 1, bounded by 3.5: the sum of four uniforms of 16
/// bits each. Exact on every platform, which a logarithm and a cosine are not.
fn approximate_normal(rng: &mut KeyedRng) -> f32 {
    let bits = rng.next_bits();
    let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
    (sum as f32 / 65536.0 - 2.0 + 2.0 / 65536.0) * 1.732_050_8
}
