//! Every integration test in one binary, so that the crate links once.
#![allow(missing_docs)]

mod architecture;
mod backpressure;
mod conservation;
mod deadline;
mod numbers;
mod poison;
mod shutdown;
mod watchdog;
