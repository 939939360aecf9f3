//! gliaflow feeds and trains 3D brain tumour segmentation networks.
//!
//! The crate is a house of floors; a module imports only from lower ones, and
//! `tests/architecture.rs` keeps it so.
//!
//! | floor | room | idea |
//! |---|---|---|
//! | 0 | [`base`] | errors, keyed randomness, fingerprints |
//! | 1 | [`telemetry`] | metric names, clocks, the endpoint |
//! | 1 | [`volume`] | the field's vocabulary: grids, modalities, regions, cases |
//! | 2 | [`actor`] | concurrency: stages, mailboxes, tickets, topologies |
//! | 2 | [`brats`] | BraTS on disk: NIfTI, layouts, phantoms |
//! | 2 | [`cache`] | immutable memory-mapped case files |
//! | 3 | [`pipeline`] | the stages, and the topologies made of them |
//! | 4 | `nets` | networks as pure functions of tensors (feature `train`) |
//! | 5 | [`eval`] | overlap and distance measures, sliding windows |
//! | 6 | [`report`] | a run told after the fact, from its files |
//! | 6 | `train` | losses, the loop, checkpoints (feature `train`) |
//! | 7 | [`experiment`] | configuration, and the run that follows from it |
//! | 8 | `study` | many runs that answer one question (feature `train`) |
//! | 9 | [`cli`] | verbs |

pub mod actor;
pub mod base;
pub mod brats;
pub mod cache;
pub mod cli;
pub mod eval;
pub mod experiment;
#[cfg(feature = "train")]
pub mod nets;
pub mod pipeline;
pub mod report;
#[cfg(feature = "train")]
pub mod study;
pub mod telemetry;
#[cfg(feature = "train")]
pub mod train;
pub mod volume;
