//! Floor 7: configuration, and the run that follows from it.

#[cfg(feature = "train")]
pub mod bench_convolution;
#[cfg(feature = "train")]
pub mod bench_step;
#[cfg(feature = "train")]
mod bounds;
#[cfg(feature = "train")]
pub mod cohort;
#[cfg(feature = "train")]
mod coming;
#[cfg(feature = "train")]
pub mod config;
#[cfg(feature = "train")]
mod course;
#[cfg(feature = "train")]
pub mod cuda;
#[cfg(feature = "train")]
pub mod data;
#[cfg(feature = "train")]
mod deciding;
#[cfg(feature = "train")]
pub mod demo;
#[cfg(feature = "train")]
pub mod device;
#[cfg(feature = "train")]
pub mod device_check;
pub mod doctor;
pub mod drain;
#[cfg(feature = "train")]
pub mod ensemble;
#[cfg(feature = "train")]
pub mod evaluate;
pub mod failure;
#[cfg(feature = "train")]
pub mod kernel_times;
#[cfg(feature = "train")]
pub mod label;
#[cfg(feature = "train")]
pub mod layers;
#[cfg(feature = "train")]
mod optimise;
pub mod phantoms;
#[cfg(feature = "train")]
pub mod predict;
pub mod prepare;
#[cfg(feature = "train")]
pub mod pseudo;
#[cfg(feature = "train")]
pub mod replay;
#[cfg(feature = "train")]
pub mod run;
#[cfg(feature = "train")]
pub mod subjects;
#[cfg(feature = "train")]
mod survey;
pub mod tune;
#[cfg(feature = "train")]
pub mod weights_file;
#[cfg(feature = "train")]
mod wgpu;
