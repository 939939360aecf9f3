//! CaseView of a case for the kernel, mapped or in memory.

use crate::cache::{
    AnnotationVoxelsView, CaseContents, IntensityScale, IntensityStats, MappedAnnotation,
    MappedCase, RawVoxel, TissueHistogram, TissueHistogramView,
};
use crate::volume::{Box3, Dims, Modality, RegionProbabilities};

/// Normalisation of one modality: the z-score of tissue is `factor * raw + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntensityNormalisation {
    /// z-score per raw step, not negative.
    pub factor: f64,
    /// z-score at raw 0, if 0 were tissue.
    pub offset: f64,
    /// Lowest and highest z-score of the case.
    pub range: [f64; 2],
}

impl IntensityNormalisation {
    /// Normalisation by a modality's stored statistics.
    pub fn from_statistics(stats: &IntensityStats, scale: &IntensityScale) -> Self {
        let (factor, offset) = stats.z_score_coefficients(scale);
        let z = |value: f64| if stats.sd > 0.0 { (value - stats.mean) / stats.sd } else { 0.0 };
        Self { factor, offset, range: [z(stats.min), z(stats.max)] }
    }
}

/// Targets of a case's voxels, `[d, h, w]`.
#[derive(Debug, Clone, Copy)]
pub enum TargetVoxels<'a> {
    /// No targets: everything is background.
    Absent,
    /// Canonical labels.
    Labels(&'a [u8]),
    /// Region probabilities in 255ths.
    Shares(&'a [RegionProbabilities]),
}

/// Voxels of a case with targets, geometry and normalisation.
#[derive(Debug, Clone, Copy)]
pub struct CaseView<'a> {
    images: &'a [RawVoxel],
    truth: TargetVoxels<'a>,
    labelled: Box3,
    dims: Dims,
    spacing_mm: [f64; 3],
    intensities: [IntensityNormalisation; Modality::COUNT],
    histograms: [TissueHistogramView<'a>; Modality::COUNT],
}

impl<'a> CaseView<'a> {
    /// Raw voxels `[d, h, w]` of a brain box of `dims`, modalities interleaved, with their labels;
    /// voxel edges in mm, `[z, y, x]`.
    ///
    /// # Panics
    /// If voxels or labels do not match `dims`, or are too many for `i32` (17 GB): the kernel
    /// computes indices in 32 bits.
    pub fn new(
        images: &'a [RawVoxel],
        labels: Option<&'a [u8]>,
        dims: Dims,
        spacing_mm: [f64; 3],
        intensities: [IntensityNormalisation; Modality::COUNT],
    ) -> Self {
        assert_eq!(images.len(), dims.voxel_count(), "one raw voxel per place");
        let truth = labels.map_or(TargetVoxels::Absent, TargetVoxels::Labels);
        Self::with_targets(truth, images, dims, spacing_mm, intensities)
    }

    /// View of raw voxels with the given targets.
    ///
    /// # Panics
    /// As [`CaseView::new`].
    pub fn with_targets(
        truth: TargetVoxels<'a>,
        images: &'a [RawVoxel],
        dims: Dims,
        spacing_mm: [f64; 3],
        intensities: [IntensityNormalisation; Modality::COUNT],
    ) -> Self {
        let targets = match truth {
            TargetVoxels::Absent => images.len(),
            TargetVoxels::Labels(labels) => labels.len(),
            TargetVoxels::Shares(shares) => shares.len(),
        };
        assert_eq!(targets, images.len(), "one target per place");
        assert!(i32::try_from(images.len()).is_ok(), "places fit 32 bits");
        let histograms = [TissueHistogramView::default(); Modality::COUNT];
        let labelled = Box3 { start: [0; 3], dims };
        Self { images, truth, labelled, dims, spacing_mm, intensities, histograms }
    }

    /// CaseView with the histograms of its modalities, which are empty otherwise.
    #[must_use]
    pub const fn with_histograms(
        self,
        histograms: [TissueHistogramView<'a>; Modality::COUNT],
    ) -> Self {
        Self { histograms, ..self }
    }

    /// View whose targets are background outside of `labelled`, where they are not read.
    #[must_use]
    pub const fn with_labelled_box(self, labelled: Box3) -> Self {
        Self { labelled, ..self }
    }

    /// The same case by the raw voxels of a box of its brain box, without targets.
    pub(super) fn with_box<'b>(&self, images: &'b [RawVoxel], dims: Dims) -> CaseView<'b>
    where
        'a: 'b,
    {
        assert_eq!(images.len(), dims.voxel_count(), "one raw voxel per place");
        let labelled = Box3 { start: [0; 3], dims };
        CaseView { images, truth: TargetVoxels::Absent, labelled, dims, ..*self }
    }

    /// View of a case file with its own labels.
    pub fn of_mapped(case: &'a MappedCase) -> Self {
        Self::of_images(case, case.labels().map_or(TargetVoxels::Absent, TargetVoxels::Labels))
            .with_labelled_box(case.labelled_box())
    }

    /// View of a case file with a teacher's annotation in place of its own labels.
    ///
    /// # Panics
    /// If the annotation is of another brain box.
    pub fn of_annotated(case: &'a MappedCase, by: &'a MappedAnnotation) -> Self {
        Self::of_images(
            case,
            match by.voxels() {
                AnnotationVoxelsView::Hard(labels) => TargetVoxels::Labels(labels),
                AnnotationVoxelsView::Soft(shares) => TargetVoxels::Shares(shares),
            },
        )
    }

    fn of_images(case: &'a MappedCase, truth: TargetVoxels<'a>) -> Self {
        let intensities = Modality::ALL.map(|modality| {
            IntensityNormalisation::from_statistics(
                case.intensity_stats(modality),
                case.intensity_scale(modality),
            )
        });
        let [x, y, z] = case.source_grid().canonical_spacing_mm();
        Self::with_targets(truth, case.images(), case.brain_box().dims, [z, y, x], intensities)
            .with_histograms(Modality::ALL.map(|modality| case.tissue_histogram(modality)))
    }

    /// View of a case in memory.
    pub fn of_contents(case: &'a CaseContents) -> Self {
        let intensities = Modality::ALL.map(|modality| {
            IntensityNormalisation::from_statistics(
                &case.stats[modality.index()],
                &case.scales[modality.index()],
            )
        });
        let [x, y, z] = case.source.canonical_spacing_mm();
        let labels = case.labels.as_deref();
        Self::new(&case.images, labels, case.brain.dims, [z, y, x], intensities)
            .with_histograms(case.histograms.each_ref().map(TissueHistogram::as_view))
    }

    /// Raw voxels `[d, h, w]`.
    pub const fn images(&self) -> &'a [RawVoxel] {
        self.images
    }

    /// Targets of the voxels.
    pub const fn target_voxels(&self) -> TargetVoxels<'a> {
        self.truth
    }

    /// Canonical labels `[d, h, w]`, if the targets are labels.
    pub const fn labels(&self) -> Option<&'a [u8]> {
        match self.truth {
            TargetVoxels::Labels(labels) => Some(labels),
            TargetVoxels::Absent | TargetVoxels::Shares(_) => None,
        }
    }

    /// Box in the brain box outside of which all targets are background.
    pub const fn labelled_box(&self) -> Box3 {
        self.labelled
    }

    /// Extent of the brain box.
    pub const fn brain_dims(&self) -> Dims {
        self.dims
    }

    /// Voxel edges in mm, `[z, y, x]`.
    pub const fn spacing_mm(&self) -> [f64; 3] {
        self.spacing_mm
    }

    /// Normalisation of each modality.
    pub const fn intensities(&self) -> &[IntensityNormalisation; Modality::COUNT] {
        &self.intensities
    }

    /// Histogram of a modality's tissue, by raw value.
    pub const fn tissue_histogram(&self, modality: Modality) -> TissueHistogramView<'a> {
        self.histograms[modality.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::TissueCounts;

    #[test]
    fn the_range_is_that_of_the_z_scores() {
        let images = [[-4, 0, 0, 0], [2, 0, 0, 0], [8, 0, 0, 0], [0; 4]];
        let scales = [IntensityScale { slope: 0.5, inter: 1.0, max_error: 0.0 }; 4];
        let stats = TissueCounts::of_images(&images).measure(&scales).map(|(stats, _)| stats);
        let tissue = IntensityNormalisation::from_statistics(&stats[0], &scales[0]);
        for (raw, z) in [(-4.0, tissue.range[0]), (8.0, tissue.range[1])] {
            assert!((tissue.factor * raw + tissue.offset - z).abs() < 1e-12);
        }
        let nothing = IntensityNormalisation::from_statistics(&stats[1], &scales[1]);
        assert_eq!(nothing, IntensityNormalisation { factor: 0.0, offset: 0.0, range: [0.0; 2] });
    }
}
