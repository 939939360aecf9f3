//! Datasets on disk, and the field's vocabulary: cases, modalities, labels, regions.

pub use crate::brats::{CaseFiles, Dataset, discover_cases, discover_described_cases};
pub use crate::cache::{Orientation, PreprocessConfig};
pub use crate::volume::{
    CaseId, DescribedLabels, Dims, LabelScheme, Modality, ModalitySet, Region, RegionSet,
    RunChannels, Targets, label,
};
