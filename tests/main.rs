//! Every integration test in one binary, so that the crate links once.
#![allow(missing_docs)]

mod architecture;
mod phantom;
mod case_format;
mod case_store;
mod oracle_zscore;
mod measures;
mod metrics;
mod nifti;
mod nifti_shared;
mod backpressure;
mod conservation;
mod deadline;
mod numbers;
mod poison;
mod shutdown;
mod watchdog;
#[cfg(feature = "train")]
mod networks;
mod oracles;
