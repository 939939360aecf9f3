//! Floor 1: the field's vocabulary. No files, no threads, no tensors.

pub mod case;
pub mod grid;
pub mod modality;
pub mod region;
pub mod shelf;
pub mod voxels;
