//! Floor 9: the trainer. One permanent thread owns the device and runs everything here that touches
//! a tensor.

pub mod checkpoint;
pub mod feed;
pub mod loss;
mod lossless_f64;
pub mod non_finite;
pub mod plateau;
pub mod schedule;
pub mod settings;
pub mod skips;
mod step_metrics;
pub mod trainer;
pub mod training_progress;
