//! Floor 10: one run, from its configuration to its result, and the tools that prepare one.

#[cfg(feature = "train")]
mod background_ingest;
#[cfg(feature = "train")]
pub mod case_selection;
#[cfg(feature = "train")]
mod checkpoint_writer;
#[cfg(feature = "train")]
pub mod cohort;
#[cfg(feature = "train")]
pub mod config;
#[cfg(feature = "train")]
mod context;
#[cfg(feature = "train")]
mod dataset_scan;
#[cfg(feature = "train")]
mod demo;
#[cfg(feature = "train")]
pub mod device;
#[cfg(feature = "train")]
mod division;
#[cfg(feature = "train")]
pub mod ending;
#[cfg(feature = "train")]
mod ensemble;
#[cfg(feature = "train")]
pub mod evaluate;
mod failure;
#[cfg(feature = "train")]
mod held_out;
#[cfg(feature = "train")]
pub mod label;
#[cfg(feature = "train")]
mod milestones;
#[cfg(feature = "train")]
mod named_parts;
pub mod phantoms;
#[cfg(feature = "train")]
pub mod predict;
pub mod prepare;
#[cfg(feature = "train")]
pub mod pseudo_labels;
#[cfg(feature = "train")]
mod quarantine_writer;
#[cfg(feature = "train")]
mod restored_cohort;
#[cfg(feature = "train")]
pub mod resume;
#[cfg(feature = "train")]
mod scored_cases;
mod session;
#[cfg(feature = "train")]
mod skipped_cases;
#[cfg(feature = "train")]
mod spacing;
#[cfg(feature = "train")]
mod split_file;
pub mod tools;
#[cfg(feature = "train")]
pub mod train;
#[cfg(feature = "train")]
mod training;
#[cfg(feature = "train")]
pub mod weights_file;

#[cfg(feature = "train")]
pub use demo::{DemoOutcome, run_demo};
#[cfg(feature = "train")]
pub use division::{Division, labelled_cases, name_patients, read_split_file};
#[cfg(feature = "train")]
pub use ensemble::{CheckpointChoice, Ensemble, Member, ResolvedEnsemble, ResolvedMember};
pub use failure::Failure;
pub use session::Session;
#[cfg(feature = "train")]
pub use spacing::warn_of_other_spacing;
#[cfg(feature = "train")]
pub use split_file::SplitFile;
