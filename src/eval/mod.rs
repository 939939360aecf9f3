//! Floor 7: prediction of whole cases, and measures of their segmentations.

#[cfg(feature = "train")]
pub mod assess;
mod by_region;
pub mod cohort;
pub mod components;
mod dilate;
mod distance;
pub mod hausdorff;
pub mod label_pair;
pub mod lesionwise;
pub mod match_files;
pub mod overlap;
mod percentile;
pub mod postprocess;
#[cfg(feature = "train")]
pub mod predict;
#[cfg(feature = "train")]
pub mod predictor;
pub mod regions_to_labels;
pub mod score;
pub mod sliding;
pub mod statistics;
mod surface;
mod surfel;
pub mod table;
pub mod threshold;
pub mod tune;
