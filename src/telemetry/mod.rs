//! Floor 1: metric names and clocks, and what libraries log. Knows what a metric is called, not what it
//! means for a run.

pub mod backend_log;
pub mod catalog;
pub mod connections;
pub mod endpoint;
pub mod exporter;
pub mod exposition;
pub mod gpu;
pub mod health;
mod host_names;
pub mod memory;
pub mod meter;
pub mod metric;
pub mod process;
pub mod recorder;
mod routes;
