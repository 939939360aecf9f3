//! Floor 6: the trainer. One permanent thread owns the device and runs everything here that
//! touches a tensor.

pub mod checkpoint;
pub mod feed;
pub mod journal;
pub mod loss;
pub mod run_directory;
pub mod schedule;
pub mod trainer;
