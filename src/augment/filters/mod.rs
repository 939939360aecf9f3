//! Filters: transforms that a single voxel does not determine, on the patch that the pass has made.
//!
//! They are those of nnU-Net's training (`nnUNetTrainer.get_training_transforms` of nnU-Net 2.6, in the
//! arithmetic of batchgeneratorsv2 0.3.6): what they take from an image, a mean or a range, is taken from the
//! patch with its background. Each modality is filtered on its own, in single precision, and what was
//! background ahead of the filters is 0 behind them, as nnU-Net's mask has it, unless the background is
//! augmented. Filters of embedding programs ([`PatchFilter`]) follow behind them.

mod blur;
mod contrast_in_range;
mod gamma_of_patch;
mod low_resolution;
mod multiplicative_brightness;
mod own_filters;
mod patch_filter;
mod patch_values;
mod settings;

pub use blur::GaussianBlur;
pub use contrast_in_range::ContrastInRange;
pub use gamma_of_patch::GammaOfPatch;
pub use low_resolution::LowResolution;
pub use multiplicative_brightness::MultiplicativeBrightness;
pub(in crate::augment) use own_filters::complete_own_filters;
pub use own_filters::{DrawnOwnFilter, OwnFilter};
pub use patch_filter::{
    FilterEntry, PatchFilter, RenderedPatch, list_patch_filters, register_patch_filter,
};
pub use settings::{DrawnFilters, FilterConfig};

use crate::augment::filters::blur::BlurKernels;
use crate::augment::filters::patch_values::{keep_tissue, mark_tissue};
use crate::volume::Dims;

/// Filters of one modality of a sample, in the order in which they act.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ChannelFilters {
    /// Standard deviations of a Gaussian along `[z, y, x]`, in voxels.
    pub blur: Option<[f32; 3]>,
    /// Contrast factor about the patch's mean, within its range.
    pub contrast: Option<f32>,
    /// Factor on the number of voxels along each axis.
    pub resolution: Option<f32>,
    /// Gamma exponent on the inverted patch.
    pub inverted_gamma: Option<f32>,
    /// Gamma exponent on the patch.
    pub gamma: Option<f32>,
}

impl ChannelFilters {
    /// True if the modality is left as it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Buffers of the filters, kept from sample to sample.
#[derive(Debug, Default)]
pub struct FilterBuffers {
    tissue: Vec<u8>,
    /// Memory for intermediate values, of any length and content.
    pub scratch: Vec<f32>,
}

impl FilterBuffers {
    /// Applies `filters` to the intensities `[d, h, w]` of one modality; background stays 0 with
    /// `keeps_background`.
    ///
    /// # Panics
    /// If `values` are not as many as `dims` says.
    pub fn apply_filters(
        &mut self,
        filters: &ChannelFilters,
        values: &mut [f32],
        dims: Dims,
        keeps_background: bool,
    ) {
        assert_eq!(values.len(), dims.voxel_count(), "one value per voxel");
        if filters.is_empty() || values.is_empty() {
            return;
        }
        if keeps_background {
            mark_tissue(values, &mut self.tissue);
        }
        if let Some(deviations) = filters.blur {
            BlurKernels::new(deviations).blur_volume(values, dims, &mut self.scratch);
        }
        if let Some(factor) = filters.contrast {
            contrast_in_range::change_contrast(values, factor);
        }
        if let Some(factor) = filters.resolution {
            low_resolution::lower_resolution(values, dims, factor, &mut self.scratch);
        }
        if let Some(exponent) = filters.inverted_gamma {
            gamma_of_patch::apply_gamma(values, exponent, true);
        }
        if let Some(exponent) = filters.gamma {
            gamma_of_patch::apply_gamma(values, exponent, false);
        }
        if keeps_background {
            keep_tissue(values, &self.tissue);
        }
    }
}
