//! Augmentation: ONE pass from a case's interleaved raw voxels to the sample's normalised, augmented
//! patch.
//!
//! | | |
//! |---|---|
//! | [`transform`] | what a transform is; one file each beside it |
//! | [`config`] | their list: configuration, drawn parameters, profiles |
//! | [`composition`] | what the drawn parameters of a sample amount to |
//! | [`view`] | a case, as the kernel sees it |
//! | [`placement`], [`tone`] | the one affine; the one function per modality |
//! | [`recipe`] | both together |
//! | [`kernel`] | applies a recipe to a view |
//! | [`stage`] | the actor that does so |
//!
//! Nothing but [`stage`] knows of samples, queues or batches. The reasons, and what was measured, are
//! in `docs/adr/008-one-fused-pass.md`.

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
pub mod stage;
pub mod tone;
pub mod transform;
pub mod view;
