//! How one patch is made from one case: the drawn parameters met with the case's geometry and
//! statistics. Everything that the kernel needs to know besides the voxels.

use crate::pipeline::augment::config::{Background, Drawn};
use crate::pipeline::augment::placement::{Placement, Window};
use crate::pipeline::augment::tone::Tone;
use crate::pipeline::augment::view::View;
use crate::volume::grid::Dims;
use crate::volume::modality::Modality;

/// One affine and one function per modality.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    placement: Placement,
    tones: [Tone; Modality::COUNT],
}

impl Recipe {
    /// The recipe for `window` of a case under what was `drawn`.
    ///
    /// # Panics
    /// If the patch reaches more than a million voxels from the brain: a window that nobody cuts.
    pub fn new(view: &View<'_>, window: Window, drawn: &Drawn, background: Background) -> Self {
        let composition = drawn.compose();
        let placement = Placement::new(window, view.dims(), view.spacing_mm(), &composition.linear);
        let tones = Modality::ALL.map(|modality| {
            let (at, noise) = (modality.index(), composition.noise);
            let (intensity, curve) = (&view.intensities()[at], &composition.curves[at]);
            Tone::new(modality, intensity, curve, noise, background)
        });
        Self { placement, tones }
    }

    /// Extent of the patch.
    pub const fn dims(&self) -> Dims {
        self.placement.dims()
    }

    /// Where its voxels come from.
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What happens to intensities, per modality.
    pub(super) const fn tones(&self) -> &[Tone; Modality::COUNT] {
        &self.tones
    }

    /// Whether voxels without tissue come out as anything but 0.
    pub(super) fn colours_air(&self) -> bool {
        self.tones.iter().any(Tone::colours_air)
    }
}
