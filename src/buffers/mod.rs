//! Floor 2: buffer pools. New memory of a case's or a patch's size costs as much in page faults as
//! filling it does.

mod case;
mod patch;
mod pool;
mod pooled;

pub use case::CaseBuffers;
pub use patch::{PatchBuffer, PatchBufferPool};
pub use pool::BufferPool;
pub use pooled::PooledBuffer;
