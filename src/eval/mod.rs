//! Floor 5: how good a segmentation is.

mod by_region;
pub mod cohort;
mod distance;
pub mod hausdorff;
pub mod overlap;
pub mod pair;
mod percentile;
pub mod score;
mod surface;
mod surfel;
pub mod table;
pub mod threshold;
//! Floor 5: how good a segmentation is, and how a whole case becomes one.

pub mod paint;
#[cfg(feature = "train")]
pub mod predict;
pub mod sliding;
