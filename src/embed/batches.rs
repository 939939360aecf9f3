//! Batches, and what a loader tells of itself.

pub use crate::actor::{SkippedItem, TicketCounts};
pub use crate::buffers::BatchBuffer;
pub use crate::embed::{Loader, LoaderBuilder, LoaderPosition};
pub use crate::pipeline::{Batch, Provenance, WorkerPlan};
pub use crate::run_folder::ExcludedCase;
