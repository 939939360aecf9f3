//! Floor 3: immutable, memory-mapped case files.
//!
//! [`prepare_in_buffers`] preprocesses a decoded case, [`CaseStore`] publishes and finds
//! files, [`MappedCase`] reads one. A teacher's labels are in a file beside the case file
//! ([`Annotation`]). The bytes are specified in `cache/README.md`.

mod annotation;
mod brain_box;
mod compose;
mod contents;
mod description;
mod encode;
mod error;
mod flaw;
mod foreground;
pub mod format;
mod histogram;
mod json_lines;
mod known_places;
mod labelled_box;
mod map;
mod mapping_faults;
mod parse;
mod preprocess;
mod quarantine;
mod rebuild;
mod same_name;
mod shared;
mod small_sections;
mod source;
mod source_labels;
mod statistics;
mod store;
pub mod treatment;
mod upkeep;
mod volumes;
mod writer;

pub use annotation::{Annotation, AnnotationVoxels, AnnotationVoxelsView, MappedAnnotation};
pub use brain_box::SplitLabels;
pub use contents::{CaseContents, OutsideLabel, RawVoxel, prepare_in_buffers};
pub use description::{
    BackgroundBasis, CaseDescription, CaseMeaning, Clipping, ModalityRecord, ResamplingRecord,
};
pub use encode::{IntensityScale, encode_volume};
pub use error::CacheError;
pub use foreground::{Foreground, ForegroundView, index_foreground};
pub use histogram::{HistogramBin, MAX_BINS, TissueHistogram, TissueHistogramView};
pub use map::{MappedCase, Verify, check_mapping};
pub use preprocess::{Orientation, PreprocessConfig};
pub use quarantine::{Quarantine, Quarantined};
pub use shared::TransferReport;
pub use source::{ExpectedSource, SourceFile, SourceFiles, SourceState};
pub use source_labels::{SourceLabels, SourceLabelsView};
pub use statistics::{IntensityStats, PERCENTILES, TissueCounts};
pub use store::{CaseOrigin, CaseStore, PublishReport};
