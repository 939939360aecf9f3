//! Plan of how a patch is rendered from a case: the drawn parameters combined with the case's
//! geometry and statistics.

use crate::augment::config::{Background, Drawn};
use crate::augment::placement::{Placement, Window};
use crate::augment::tone::Tone;
use crate::augment::view::View;
use crate::volume::grid::Dims;
use crate::volume::modality::Modality;

/// Placement of a patch and intensity map of each modality.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    placement: Placement,
    tones: [Tone; Modality::COUNT],
}

impl Recipe {
    /// Plan for `window` of a case with the parameters `drawn`.
    ///
    /// # Panics
    /// If the patch reaches more than a million voxels from the brain.
    pub fn new(view: &View<'_>, window: Window, drawn: &Drawn, background: Background) -> Self {
        let composition = drawn.compose();
        let placement = Placement::new(window, view.dims(), view.spacing_mm(), &composition.linear);
        let tones = Modality::ALL.map(|modality| {
            let intensity = &view.intensities()[modality.index()];
            let curve = &composition.curves[modality.index()];
            Tone::new(modality, intensity, curve, composition.noise, background)
        });
        Self { placement, tones }
    }

    /// Extent of the patch.
    pub const fn dims(&self) -> Dims {
        self.placement.dims()
    }

    /// Placement of the patch in the brain box.
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Intensity map of each modality.
    pub(super) const fn tones(&self) -> &[Tone; Modality::COUNT] {
        &self.tones
    }

    /// Returns true if voxels without tissue may differ from 0.
    pub(super) fn colours_air(&self) -> bool {
        self.tones.iter().any(Tone::colours_air)
    }
}
