//! Floor 5: how good a segmentation is, and how a whole case becomes one.

#[cfg(feature = "train")]
pub mod assess;
mod by_region;
pub mod cohort;
pub mod components;
mod dilate;
mod distance;
pub mod hausdorff;
pub mod lesionwise;
pub mod overlap;
pub mod paint;
pub mod pair;
mod percentile;
pub mod postprocess;
#[cfg(feature = "train")]
pub mod predict;
#[cfg(feature = "train")]
pub mod predictor;
pub mod score;
pub mod sliding;
pub mod statistics;
mod surface;
mod surfel;
pub mod table;
pub mod threshold;
pub mod tune;
