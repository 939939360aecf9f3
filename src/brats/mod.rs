//! Floor 3: datasets on disk, of BraTS and others. Reads and writes NIfTI, discovers cases in folders.

mod bytes;
mod case;
mod case_assembly;
mod chosen_channels;
mod chosen_scheme;
mod content_stream;
mod datalist;
mod dataset;
pub mod datatype;
mod description;
mod discovery_errors;
mod examine;
mod fields;
mod file_grid;
mod folder_listing;
mod folder_scan;
mod found_cases;
mod gzip;
pub mod header;
mod inspect;
mod label_files;
mod labels;
mod layout;
#[cfg(feature = "libdeflate")]
mod libdeflate;
mod masks;
mod narrow;
mod orient;
pub mod phantom;
mod placement;
mod qform;
mod read;
mod region_table;
mod scheme;
mod write;

pub use case::{CaseHeaders, CaseReader, LabelVolume, read_labels_only};
pub use chosen_scheme::{ChosenScheme, SchemeReason};
pub use dataset::{
    CaseFiles, Dataset, StackPlaces, TumourGrade, discover_cases, discover_described_cases,
    find_description,
};
pub use description::{BUILT_IN_LAYOUTS, DESCRIPTION_FILE, DatasetDescription};
pub use examine::{CaseExamination, examine_cases};
pub use inspect::{Depth, FileReport, FolderReport, inspect_file, inspect_folder};
pub use label_files::{align_prediction, find_described_labels};
pub use layout::{Layout, description_fingerprint, names_labels, schemes_of_case_name};
pub use orient::{axis_codes, source_grid};
pub use read::{DEFAULT_MAX_VOXELS, NiftiImage, read_grid, read_volume};
pub use region_table::RegionReport;
pub use scheme::{FittingSchemes, NameSchemes, SchemeRequest, is_of_other_scheme};
pub use write::{
    is_prediction, write_intensities, write_labels, write_prediction, write_probabilities,
    write_scalars,
};
