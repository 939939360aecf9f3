//! Floor 2: BraTS on disk.

pub mod phantom;
