//! Floor 10: one run, from its configuration to its result, and the tools that prepare one.

use cfg_if::cfg_if;

mod failure;
mod lifecycle;
mod loader_cases;
pub mod phantoms;
pub mod prepare;
mod session;
pub mod tools;

pub use failure::Failure;
pub use lifecycle::LifecycleRuntime;
pub use loader_cases::{LoaderCases, prepare_loader_cases};
pub use session::Session;

// What needs networks.
cfg_if! {
    if #[cfg(feature = "train")] {
        mod background_ingest;
        pub mod case_selection;
        mod checkpoint_writer;
        pub mod cohort;
        pub mod config;
        mod context;
        mod dataset_scan;
        mod device_memory;
        mod demo;
        pub mod device;
        mod division;
        pub mod ending;
        mod ensemble;
        pub mod evaluate;
        mod held_out;
        pub mod label;
        mod milestones;
        pub mod monai_bundle;
        mod named_parts;
        pub mod onnx_file;
        pub mod predict;
        mod progress_picture;
        pub mod pseudo_labels;
        mod quarantine_writer;
        mod restored_cohort;
        pub mod reference_logits;
        pub mod resume;
        mod sample_plan;
        mod scored_cases;
        mod skipped_cases;
        mod spacing;
        mod split_file;
        mod synthetic_cases;
        pub mod train;
        mod training;
        mod validation_loss;
        pub mod weights_file;

        pub use demo::{demo_destination, run_demo};
        pub use device_memory::DeviceMemory;
        pub use division::{Division, labelled_cases, name_patients, read_split_file};
        pub use ensemble::{CheckpointChoice, Ensemble, Member, ResolvedEnsemble, ResolvedMember};
        pub use spacing::warn_of_other_spacing;
        pub use split_file::SplitFile;
    }
}
