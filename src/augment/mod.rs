//! Augmentation in one pass, from a case's interleaved raw voxels to the sample's normalised,
//! augmented patch.
//!
//! | | |
//! |---|---|
//! | [`Transform`] | trait of the transforms; one file each beside it |
//! | [`AugmentConfig`] | their list: settings, drawn parameters, profiles |
//! | [`ComposedTransform`] | composition of a sample's drawn transforms |
//! | [`CaseView`] | a case, as the kernel sees it |
//! | [`Placement`], [`tone`] | the affine; the pointwise map of each modality |
//! | [`RenderPlan`] | both together |
//! | [`Kernel`] | renders a patch from a view |
//! | [`Mixer`] | lays the tumour of another case over a rendered patch |
//! | [`PatchFilter`] | trait of what a voxel alone does not determine, on the [`RenderedPatch`] |
//!
//! The actor that does so is [`crate::pipeline::augment`]. Reasons and measurements are in
//! `docs/adr/008-one-fused-pass.md`.

mod composition;
mod config;
pub mod contrast;
mod filters;
mod gamma;
mod kernel;
pub mod mirroring;
mod mixing;
mod modality_dropout;
mod noise;
mod normal;
mod placement;
mod power;
mod profile;
mod recipe;
pub mod rotation;
pub mod scaling;
pub mod shift;
pub mod tone;
mod transform;
mod view;

pub use composition::{ComposedTransform, IDENTITY, IntensityCurve, Matrix3};
pub use config::{AugmentConfig, Background, DrawnParams};
pub use filters::{
    ChannelFilters, ContrastInRange, DrawnFilters, DrawnOwnFilter, FilterBuffers, FilterConfig,
    FilterEntry, GammaOfPatch, GaussianBlur, LowResolution, MultiplicativeBrightness, OwnFilter,
    PatchFilter, RenderedPatch, list_patch_filters, register_patch_filter,
};
pub use gamma::{DrawnGamma, Gamma};
pub use kernel::{Kernel, PatchImages};
use mixing::CarvedVoxel;
pub use mixing::{DrawnMixing, MixedCases, MixedPatch, Mixer, MixingConfig, mixing_bytes};
pub use modality_dropout::ModalityDropout;
pub use noise::{DrawnNoise, GaussianNoise};
pub use placement::{Placement, Window};
pub use profile::AugmentProfile;
pub use recipe::RenderPlan;
pub use transform::Transform;
use transform::draw_uniform;
pub use view::{CaseView, IntensityNormalisation, TargetVoxels};
