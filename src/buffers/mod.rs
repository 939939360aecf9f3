//! Floor 2: buffer pools. New memory of a case's or a patch's size costs as much in page faults as
//! filling it does.

pub mod case;
pub mod patch;
pub mod pool;
pub mod pooled;
