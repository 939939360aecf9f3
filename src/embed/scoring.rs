//! Scores of segmentations: overlap and distance of each region.

pub use crate::eval::match_files::SegmentationPair;
pub use crate::eval::{
    ByRegion, CaseScore, Hd95, LabelPair, Measures, PairOptions, RegionScore, read_label_pair,
    score_case,
};
