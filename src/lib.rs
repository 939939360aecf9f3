//! gliaflow feeds and trains 3D brain tumour segmentation networks.
//!
//! The command `gliaflow` is a thin layer over this library. A program of your own streams batches in a
//! few lines:
//!
//! ```
//! use gliaflow::prelude::*;
//!
//! # fn main() -> Result<(), Failure> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # std::env::set_current_dir(&folder).expect("it is there");
//! write_phantom_cases("data", 3, [32, 32, 32])?; // or a dataset of yours
//! let loader = Loader::builder("data").patch([16, 16, 16]).batch(2).seed(7).start()?;
//! for batch in loader.take(5) {
//!     let batch = batch?; // images [b, c, d, h, w] as f16, labels [b, d, h, w] as u8
//!     println!("{} {} {}", batch.number, batch.images.len(), batch.labels.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! and trains a network, with the checkpoints, the journal and the summary of `gliaflow train`:
//!
#![cfg_attr(feature = "train", doc = "```")]
#![cfg_attr(not(feature = "train"), doc = "```ignore")]
//! use gliaflow::prelude::*;
//!
//! # fn main() -> Result<(), Failure> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # std::env::set_current_dir(&folder).expect("it is there");
//! write_phantom_cases("data", 3, [32, 32, 32])?; // or a dataset of yours
//! let summary = Training::builder("data")
//!     .network("unet")
//!     .network_settings(serde_json::json!({"base_width": 4, "levels": 2}))
//!     .patch([16, 16, 16])
//!     .epochs(1)
//!     .set("data.held_out", 0.34) // any setting of docs/settings.md, by its name
//!     .on_step(|step| println!("step {}: loss {:.4}", step.step, step.loss))
//!     .run()?;
//! println!("{} steps, {}", summary.steps, summary.run.display());
//! # Ok(())
//! # }
//! ```
//!
//! A network, a loss and an augmentation of one's own are values of public traits, which the shipped ones
//! implement, too: `Architecture`, `RegionLoss` and [`PatchFilter`](embed::augmentation::PatchFilter). Once registered
//! they are named in a configuration, and kept in the run's record, like any other. `examples/` has a program for
//! each; [`embed`] has what builders and traits take and give, by subject.
//!
//! With `default-features = false` there is the loader, without Burn. A program that turns on the feature `cuda`
//! copies the section `[patch.crates-io]` of this crate's `Cargo.toml`, and the folders of `vendor/` that it names,
//! into its own: Cargo reads patches of the top package alone, and without them Burn's build downloads LLVM
//! (`docs/adr/006`).
//!
//! The public surface is [`prelude`] and [`embed`]; `tests/public_surface.txt` is its list, and a change of it is a change of
//! the version. The other modules are the crate's own rooms: private, but for what the command, the tests, the benchmarks and the
//! Python package use of them, which has one door that is hidden here (`src/internals.rs`) and changes without notice. They
//! stand on floors; a module imports only from lower ones, and `tests/architecture.rs` keeps it so.
//!
//! | floor | room | idea |
//! |---|---|---|
//! | 0 | `base` | errors, keyed randomness, fingerprints, files, threads |
//! | 1 | `storage` | where files of datasets lie: folders, and prefixes of object storage |
//! | 1 | `telemetry` | metric names, clocks, the endpoint |
//! | 1 | `volume` | the field's vocabulary: grids, modalities, regions, cases |
//! | 2 | `actor` | concurrency: stages, mailboxes, tickets, topologies |
//! | 2 | `buffers` | buffer pools for cases, patches and batches |
//! | 2 | `quality` | which voxels are background, and what is wrong with an image |
//! | 2 | `resampling` | other voxel sizes: images, labels and probabilities on them |
//! | 3 | `brats` | BraTS on disk: NIfTI, layouts, phantoms |
//! | 3 | `cache` | immutable memory-mapped case files |
//! | 4 | `augment` | augmentation: transforms, and one pass that applies them |
//! | 5 | `pipeline` | the stages, and the topologies made of them |
//! | 6 | `nets` | networks as pure functions of tensors (feature `train`) |
//! | 7 | `eval` | overlap and distance measures, sliding windows |
//! | 8 | `run_folder` | names and formats of the files in a run's folder |
//! | 9 | `report` | figures and pages of a run, from the files in its folder |
//! | 9 | `train` | losses, the training loop, checkpoints (feature `train`) |
//! | 10 | `run` | configuration, devices, one run, and the tools around it |
//! | 11 | `embed` | builders for other programs: a loader, a training run |
//! | 11 | `experiment` | several runs and their table, as in the paper (feature `train`) |
//! | 12 | `cli` | subcommands |

#![cfg_attr(
    not(feature = "train"),
    allow(dead_code, unused_imports, reason = "the trainer and its commands use them")
)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests may use the file system as it is")
)]

mod actor;
mod augment;
mod base;
mod brats;
mod buffers;
mod cache;
mod cli;
pub mod embed;
mod eval;
#[cfg(feature = "train")]
mod experiment;
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "train")]
mod nets;
mod pipeline;
pub mod prelude;
mod quality;
mod report;
mod resampling;
mod run;
mod run_folder;
mod storage;
mod telemetry;
#[cfg(feature = "train")]
mod train;
mod volume;
