//! Floor 1: the field's vocabulary. No files, no threads, no tensors.

pub mod case;
pub mod fold;
pub mod fraction;
pub mod grid;
pub mod modality;
pub mod partition;
pub mod region;
pub mod shelf;
pub mod targets;
pub mod voxels;
