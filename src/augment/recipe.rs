//! Plan of how a patch is rendered from a case: the drawn parameters combined with the case's
//! geometry and statistics.

use crate::augment::tone::IntensityMap;
use crate::augment::{Background, CaseView, DrawnParams, Placement, Window};
use crate::volume::{Dims, Modality};

/// Placement of a patch, and intensity map of each modality.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderPlan {
    placement: Placement,
    tones: [IntensityMap; Modality::COUNT],
}

impl RenderPlan {
    /// Plan for `window` of a case with the parameters `drawn`.
    ///
    /// # Panics
    /// If the patch reaches more than a million voxels from the brain.
    pub fn new(
        view: &CaseView<'_>,
        window: Window,
        drawn: &DrawnParams,
        background: Background,
    ) -> Self {
        let composition = drawn.compose_all();
        let placement =
            Placement::new(window, view.brain_dims(), view.spacing_mm(), &composition.linear);
        let tones = Modality::ALL.map(|modality| {
            if composition.is_dropped[modality.index()] {
                return IntensityMap::zero_map(modality);
            }
            let intensity = &view.intensities()[modality.index()];
            let curve = &composition.curves[modality.index()];
            let tissue = view.tissue_histogram(modality);
            IntensityMap::new(modality, intensity, tissue, curve, composition.noise, background)
        });
        Self { placement, tones }
    }

    /// Extent of the patch.
    pub const fn patch_dims(&self) -> Dims {
        self.placement.patch_dims()
    }

    /// Placement of the patch in the brain box.
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    pub(super) const fn intensity_maps(&self) -> &[IntensityMap; Modality::COUNT] {
        &self.tones
    }

    /// Returns true if voxels without tissue may differ from 0.
    pub fn changes_background(&self) -> bool {
        self.tones.iter().any(IntensityMap::changes_background)
    }
}
