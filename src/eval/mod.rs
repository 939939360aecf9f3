//! Floor 7: prediction of whole cases, and measures of their segmentations.

#[cfg(feature = "train")]
pub mod assess;
mod by_region;
mod cohort;
mod components;
mod dilate;
mod distance;
mod hausdorff;
mod instance_match;
mod label_pair;
mod lesion_rules;
mod lesionwise;
mod mask_pair;
pub mod match_files;
mod overlap;
mod percentile;
mod postprocess;
#[cfg(feature = "train")]
mod predict;
#[cfg(feature = "train")]
mod predictor;
pub mod regions_to_labels;
mod score;
mod sliding;
pub mod statistics;
mod surface;
mod surface_dice;
mod surfel;
mod table;
mod threshold;
mod tune;

pub use by_region::ByRegion;
pub use cohort::{CohortScore, Summary};
pub use components::Components;
pub use hausdorff::{Hd95, ONE_EMPTY_MM};
pub use label_pair::{LabelPair, PairOptions, read_label_pair};
pub use lesion_rules::{LesionMatching, LesionRules};
pub use lesionwise::{CaseLesions, CohortLesions, LesionScore, score_lesions};
pub use overlap::ConfusionCounts;
pub use postprocess::PostProcess;
#[cfg(feature = "train")]
pub use predict::predict_case;
#[cfg(feature = "train")]
pub use predictor::{
    LoadNetwork, MeanPredictor, OneNetwork, Predictor, WeightedNetwork, WindowConfig,
};
pub use score::{CaseScore, Measures, RegionScore, score_case};
pub use sliding::{Sliding, SlidingConfig, Weighting};
pub use table::{
    DiceRow, in_markdown, render_dice, render_lesions, render_measures, with_numbers_right,
};
pub use threshold::{CandidateHistogram, ThresholdBaseline, ThresholdSearch};
pub use tune::{PostProcessSearch, TunedThresholds};
