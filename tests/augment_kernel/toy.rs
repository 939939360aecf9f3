//! Small cases for the kernels.

use gliaflow::internals::augment::{CaseView, IntensityNormalisation};
use gliaflow::internals::base::{Domain, KeyedRng, SampleKey};
use gliaflow::internals::cache::{IntensityScale, TissueCounts, TissueHistogram};
use gliaflow::internals::volume::Dims;

/// A case of a few hundred voxels.
#[derive(Debug)]
pub(super) struct Toy {
    pub(super) images: Vec<[i16; 4]>,
    pub(super) labels: Vec<u8>,
    pub(super) dims: Dims,
    pub(super) spacing_mm: [f64; 3],
    histograms: [TissueHistogram; 4],
}

impl Toy {
    /// A third air, the rest from `-reach` to `reach`; labels 0 to 4.
    pub(super) fn new(seed: u64, dims: Dims, spacing_mm: [f64; 3], reach: i16) -> Self {
        let key = SampleKey { seed, epoch: 0, index: 0 };
        let mut rng = KeyedRng::new(key, Domain::Phantom);
        let span = 2 * u64::from(reach.unsigned_abs()) + 2;
        let mut raw = |air: bool| {
            let value = rng.uniform_below(span) as i64 - i64::from(reach) - 1;
            if air { 0 } else { value as i16 }
        };
        let air = |place: usize| (place / 3 + place / 17).is_multiple_of(3);
        let images =
            (0..dims.voxel_count()).map(|place| [(); 4].map(|()| raw(air(place)))).collect();
        Self::of_images(images, dims, spacing_mm)
    }

    /// The case of these voxels, labels 0 to 4.
    pub(super) fn of_images(images: Vec<[i16; 4]>, dims: Dims, spacing_mm: [f64; 3]) -> Self {
        let labels = (0..dims.voxel_count()).map(|place| (place * 7 % 5) as u8).collect();
        let measured = TissueCounts::of_images(&images).measure(&[IntensityScale::LOSSLESS; 4]);
        let histograms = measured.map(|(_, histogram)| histogram);
        Self { images, labels, dims, spacing_mm, histograms }
    }

    pub(super) fn view(&self) -> CaseView<'_> {
        let measured =
            TissueCounts::of_images(&self.images).measure(&[IntensityScale::LOSSLESS; 4]);
        let intensities = measured.map(|(stats, _)| {
            IntensityNormalisation::from_statistics(&stats, &IntensityScale::LOSSLESS)
        });
        self.view_as(intensities)
    }

    pub(super) fn view_as(&self, intensities: [IntensityNormalisation; 4]) -> CaseView<'_> {
        CaseView::new(&self.images, Some(&self.labels), self.dims, self.spacing_mm, intensities)
            .with_histograms(self.histograms.each_ref().map(TissueHistogram::as_view))
    }
}
