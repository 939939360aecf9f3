//! Types that most programs which embed the crate use.

pub use crate::embed::{Loader, LoaderBuilder, LoaderPosition, StopHandle, write_phantom_cases};
pub use crate::pipeline::Batch;
pub use crate::run::Failure;

#[cfg(feature = "train")]
pub use crate::embed::{Training, TrainingBuilder};
#[cfg(feature = "train")]
pub use crate::run_folder::RunSummary;
