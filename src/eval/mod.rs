//! Floor 5: how good a segmentation is, and how a whole case becomes one.

pub mod paint;
#[cfg(feature = "train")]
pub mod predict;
pub mod sliding;
