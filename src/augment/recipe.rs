//! Plan of how a patch is rendered from a case: the drawn parameters combined with the case's
//! geometry and statistics.

use crate::augment::tone::IntensityMap;
use crate::augment::{Background, CaseView, DrawnNoise, DrawnParams, Placement, Window};
use crate::volume::{Dims, Modality};

/// Difference of the keys of noise on a donor's voxels and on a receiver's: the first digits of the golden ratio.
const DONOR_KEY: u32 = 0x9e37_79b9;

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

    /// Plan for the part of a mixed patch that is rendered from `donor`, placed by `placement`: with the donor's
    /// own z-scores and, from there on, what becomes of those of the `receiver`, in whose case they stand.
    pub(super) fn of_donor(
        placement: Placement,
        receiver: &CaseView<'_>,
        donor: &CaseView<'_>,
        drawn: &DrawnParams,
        background: Background,
    ) -> Self {
        let composition = drawn.compose_all();
        // The part's voxels have numbers of their own, so their noise has a key of its own.
        let noise = composition
            .noise
            .map(|noise| DrawnNoise { key: [noise.key[0] ^ DONOR_KEY, noise.key[1]], ..noise });
        let tones = Modality::ALL.map(|modality| {
            let channel = modality.index();
            if composition.is_dropped[channel] {
                return IntensityMap::zero_map(modality);
            }
            let cases = [donor, receiver].map(|case| &case.intensities()[channel]);
            let curve = &composition.curves[channel];
            let tissue = receiver.tissue_histogram(modality);
            IntensityMap::of_voxels(modality, cases, tissue, curve, noise, background)
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
