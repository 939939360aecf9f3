//! Types that most programs which embed the crate use.

pub use crate::augment::{PatchFilter, RenderedPatch, register_patch_filter};
pub use crate::base::KeyedRng;
pub use crate::embed::{Loader, LoaderBuilder, LoaderPosition, StopHandle, write_phantom_cases};
pub use crate::pipeline::Batch;
pub use crate::run::Failure;
pub use crate::run_folder::RunSummary;
pub use crate::volume::Modality;

#[cfg(feature = "train")]
pub use crate::embed::{Training, TrainingBuilder};
#[cfg(feature = "train")]
pub use crate::nets::{Architecture, register_architecture};
#[cfg(feature = "train")]
pub use crate::train::{RegionLoss, RegionTargets, register_loss};
