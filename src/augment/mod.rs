//! Augmentation in one pass, from a case's interleaved raw voxels to the sample's normalised,
//! augmented patch.
//!
//! | | |
//! |---|---|
//! | [`transform`] | trait of the transforms; one file each beside it |
//! | [`config`] | their list: settings, drawn parameters, profiles |
//! | [`composition`] | composition of a sample's drawn transforms |
//! | [`view`] | a case, as the kernel sees it |
//! | [`placement`], [`tone`] | the affine; the pointwise map of each modality |
//! | [`recipe`] | both together |
//! | [`kernel`] | renders a patch from a view |
//!
//! The actor that does so is [`crate::pipeline::augment`]. Reasons and measurements are in
//! `docs/adr/008-one-fused-pass.md`.

pub mod composition;
pub mod config;
pub mod contrast;
pub mod gamma;
pub mod kernel;
pub mod mirroring;
pub mod noise;
mod normal;
pub mod placement;
mod power;
pub mod recipe;
pub mod rotation;
pub mod scaling;
pub mod shift;
pub mod tone;
pub mod transform;
pub mod view;
