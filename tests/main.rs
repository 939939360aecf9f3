//! Every integration test in one binary, so that the crate links once.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, reason = "tests may use the file system as it is")]

mod annotations;
mod architecture;
mod augment_kernel;
mod augment_reference;
mod backpressure;
mod balance;
mod book;
mod case_format;
mod case_store;
mod cli;
mod conservation;
#[cfg(feature = "wgpu")]
mod cubecl;
mod dashboards;
mod deadline;
mod loader;
mod measures;
mod metrics;
#[cfg(feature = "train")]
mod networks;
mod nifti;
mod nifti_files;
mod numbers;
mod oracles;
mod phantom;
mod poison;
mod quality;
mod recycling;
mod relay;
mod reliability;
mod resampled_cases;
mod resize;
#[cfg(feature = "train")]
mod settings;
mod shutdown;
mod splits;
mod statistics;
mod verdict;
mod watchdog;
