//! Floor 2: buffer pools. New memory of a case's or a patch's size costs as much in page faults as
//! filling it does.

mod batch_memory;
mod case;
mod part;
mod part_pool;
mod patch;
mod pool;

pub use batch_memory::{BatchLayout, BatchMemory, PlacedPatch};
pub use case::CaseBuffers;
pub use part::BufferPart;
pub use part_pool::BatchBuffer;
pub use patch::PatchBuffer;
pub use pool::BufferPool;
