//! The binary as its users meet it: real processes, real files, real HTTP.

mod alike;
mod cases;
mod dashboards;
mod datasets;
mod draining;
mod file_systems;
mod harness;
mod ingesting;
mod label_schemes;
mod mask_files;
mod names;
mod nifti_file;
mod publishing;
mod quality;
mod scoring;
mod sequences;
mod signals;
mod surface;
mod watching;

#[cfg(feature = "object-store")]
mod object_storage;

#[cfg(feature = "train")]
mod advice;
#[cfg(feature = "train")]
mod arriving;
#[cfg(feature = "train")]
mod backgrounds;
#[cfg(feature = "train")]
mod bad_cases;
#[cfg(feature = "train")]
mod benchmarks;
#[cfg(feature = "train")]
mod cross_validating;
#[cfg(feature = "train")]
mod demonstration;
#[cfg(feature = "train")]
mod drills;
#[cfg(feature = "train")]
mod ensembles;
#[cfg(feature = "train")]
mod experimenting;
#[cfg(feature = "train")]
mod exporting;
#[cfg(feature = "train")]
mod first_run;
#[cfg(feature = "train")]
mod full_disks;
#[cfg(feature = "train")]
mod hardware;
#[cfg(feature = "train")]
mod health;
#[cfg(feature = "train")]
mod masks;
#[cfg(feature = "train")]
mod milestones;
#[cfg(feature = "train")]
mod networks_at_work;
#[cfg(feature = "train")]
mod other_channels;
#[cfg(feature = "train")]
mod planning;
#[cfg(feature = "train")]
mod predicting;
#[cfg(feature = "train")]
mod pseudo_labels;
#[cfg(feature = "train")]
mod reporting;
#[cfg(feature = "train")]
mod resettled;
#[cfg(feature = "train")]
mod resuming;
#[cfg(feature = "train")]
mod scraping;
#[cfg(feature = "train")]
mod searching;
#[cfg(feature = "train")]
mod settings;
#[cfg(feature = "train")]
mod spacing;
#[cfg(feature = "train")]
mod splitting;
#[cfg(feature = "train")]
mod submitting;
#[cfg(feature = "train")]
mod synthetic;
#[cfg(feature = "train")]
mod teaching;
#[cfg(feature = "train")]
mod training;
#[cfg(feature = "train")]
mod unchanged_samples;
#[cfg(feature = "train")]
mod validating;
#[cfg(feature = "train")]
mod voxel_sizes;
#[cfg(feature = "train")]
mod week;
