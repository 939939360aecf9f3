//! Floor 3: BraTS datasets on disk. Reads and writes NIfTI, discovers cases in folders.

mod bytes;
pub mod case;
pub mod dataset;
pub mod datatype;
mod discovery_errors;
pub mod examine;
mod fields;
mod file_grid;
mod folder_listing;
mod gzip;
pub mod header;
pub mod inspect;
mod labels;
pub mod layout;
mod masks;
mod narrow;
pub mod orient;
pub mod phantom;
mod placement;
mod qform;
pub mod read;
pub mod scheme;
pub mod write;
