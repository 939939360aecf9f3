//! Floor 6: the trainer. One permanent thread owns the device and runs everything here that
//! touches a tensor.

mod books;
pub mod checkpoint;
pub mod event;
mod exact;
pub mod feed;
pub mod journal;
pub mod loss;
pub mod plateau;
pub mod run_directory;
pub mod schedule;
pub mod settings;
pub mod skips;
pub mod standing;
pub mod trainer;
pub mod unsound;
