//! Floor 1: vocabulary of the field. No files, no threads, no tensors.

pub mod case;
pub mod fold;
pub mod fraction;
pub mod grid;
pub mod modality;
pub mod partition;
pub mod patient;
pub mod region;
pub mod targets;
pub mod voxels;
