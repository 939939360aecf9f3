//! Floor 2: BraTS on disk. NIfTI in and out, and the folders it comes in.

mod qform;
pub mod write;
