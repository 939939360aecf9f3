//! Floor 2: BraTS on disk. NIfTI in and out, and the folders it comes in.

mod bytes;
mod datatype;
mod fields;
pub mod header;
mod labels;
mod narrow;
pub mod orient;
pub mod phantom;
mod placement;
mod qform;
pub mod read;
pub mod write;

pub use datatype::Datatype;
