//! Augmentation: its settings, filters of one's own, and what was drawn for a sample.

pub use crate::augment::contrast::Contrast;
pub use crate::augment::mirroring::Mirroring;
pub use crate::augment::rotation::Rotation;
pub use crate::augment::scaling::Scaling;
pub use crate::augment::shift::Shift;
pub use crate::augment::{
    AugmentConfig, AugmentProfile, Background, ContrastInRange, DrawnFilters, DrawnGamma,
    DrawnMixing, DrawnNoise, DrawnOwnFilter, DrawnParams, FilterBuffers, FilterConfig, FilterEntry,
    Gamma, GammaOfPatch, GaussianBlur, GaussianNoise, LowResolution, MixingConfig, ModalityDropout,
    MultiplicativeBrightness, OwnFilter, PatchFilter, RenderedPatch, list_patch_filters,
    register_patch_filter,
};
pub use crate::base::{Domain, KeyedRng, SampleKey};
