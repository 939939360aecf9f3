//! Tools around a run: checks of machine and device, costs of loader and step, replay of a sample,
//! scores of label files.

#[cfg(feature = "train")]
pub mod bench_convolution;
#[cfg(feature = "train")]
pub mod bench_step;
#[cfg(feature = "train")]
pub mod device_check;
pub mod doctor;
pub mod drain;
#[cfg(feature = "train")]
pub mod kernel_times;
pub mod loader_settings;
#[cfg(feature = "train")]
pub mod replay;
pub mod score;
pub mod tune;
