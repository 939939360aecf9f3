//! gliaflow feeds and trains 3D brain tumour segmentation networks.
//!
//! The crate is a house of floors; a module imports only from lower ones, and
//! `tests/architecture.rs` keeps it so.
//!
//! | floor | room | idea |
//! |---|---|---|
//! | 0 | [`base`] | errors, keyed randomness, fingerprints, files, threads |
//! | 1 | [`telemetry`] | metric names, clocks, the endpoint |
//! | 1 | [`volume`] | the field's vocabulary: grids, modalities, regions, cases |
//! | 2 | [`actor`] | concurrency: stages, mailboxes, tickets, topologies |
//! | 2 | [`buffers`] | buffer pools for cases, patches and batches |
//! | 2 | [`quality`] | which voxels are background, and what is wrong with an image |
//! | 2 | [`resampling`] | other voxel sizes: images, labels and probabilities on them |
//! | 3 | [`brats`] | BraTS on disk: NIfTI, layouts, phantoms |
//! | 3 | [`cache`] | immutable memory-mapped case files |
//! | 4 | [`augment`] | augmentation: transforms, and one pass that applies them |
//! | 5 | [`pipeline`] | the stages, and the topologies made of them |
//! | 6 | `nets` | networks as pure functions of tensors (feature `train`) |
//! | 7 | [`eval`] | overlap and distance measures, sliding windows |
//! | 8 | [`run_folder`] | names and formats of the files in a run's folder |
//! | 9 | [`report`] | figures and pages of a run, from the files in its folder |
//! | 9 | `train` | losses, the training loop, checkpoints (feature `train`) |
//! | 10 | [`run`] | configuration, devices, one run, and the tools around it |
//! | 11 | `experiment` | several runs and their table, as in the paper (feature `train`) |
//! | 12 | [`cli`] | subcommands |

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests may use the file system as it is")
)]

pub mod actor;
pub mod augment;
pub mod base;
pub mod brats;
pub mod buffers;
pub mod cache;
pub mod cli;
pub mod eval;
#[cfg(feature = "train")]
pub mod experiment;
#[cfg(feature = "train")]
pub mod nets;
pub mod pipeline;
pub mod quality;
pub mod report;
pub mod resampling;
pub mod run;
pub mod run_folder;
pub mod telemetry;
#[cfg(feature = "train")]
pub mod train;
pub mod volume;
