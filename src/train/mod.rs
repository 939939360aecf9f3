//! Floor 9: the trainer. One permanent thread owns the device and runs everything here that touches
//! a tensor, but for uploads ([`feed`]) and the reading of figures ([`readback`]).

pub mod checkpoint;
mod dice_bce;
mod epoch_figures;
pub mod feed;
mod loss;
mod lossless_f64;
pub mod non_finite;
mod plateau;
pub mod readback;
mod region_loss;
mod region_targets;
mod schedule;
mod settings;
mod skips;
mod step_metrics;
mod trainer;
mod training_progress;

pub use dice_bce::DiceBceLoss;
pub use loss::LossConfig;
pub use plateau::Plateau;
pub use region_loss::{LossEntry, LossParts, RegionLoss, TrainingLoss, list_losses, register_loss};
pub use region_targets::{RegionTargets, SoftenedMembers, counted_voxels, region_targets};
pub use schedule::{Schedule, SchedulePosition};
pub use settings::{NonFinitePolicy, TrainerConfig};
pub use skips::SkipQueue;
pub use trainer::{Trainer, TrainerContext};
pub use training_progress::{BestEpoch, EpochSums, TrainingProgress, TrainingState};
