//! Floor 1: vocabulary of the field. No files, no threads, no tensors.

mod case;
mod channels;
mod described_labels;
mod fold;
mod fraction;
mod grid;
mod intensities;
mod label_scheme;
mod modality;
mod partition;
mod patient;
mod region;
mod region_names;
mod region_set;
mod targets;
mod temperature;
mod tissue_scan;
mod voxels;

pub use case::{
    Case, CaseId, MAX_CASE_ID_BYTES, SourceGrid, Split, case_id_problem, hold_out_cases,
};
pub use channels::RunChannels;
pub use described_labels::DescribedLabels;
pub use fold::Fold;
pub use fraction::keep_fraction;
pub use grid::{Affine, Box3, Dims, GRID_TOLERANCE_VOXELS};
pub use intensities::Intensities;
pub use label_scheme::{LabelScheme, label};
pub use modality::{MissingModality, Modality, ModalitySet};
pub use partition::{SplitShares, cross_validation, partition_cohort};
pub use patient::{
    CohortCase, PatientId, keep_patients, part_of_unlabelled, patients_in_two_parts,
    split_by_patient,
};
pub use region::Region;
pub use region_names::RegionNames;
pub use region_set::{MAX_REGIONS, RegionDefinition, RegionSet};
pub use targets::{
    CERTAIN, RegionProbabilities, Targets, most_likely_label, probabilities_of_label,
    quantise_probability,
};
pub use temperature::Temperature;
pub use tissue_scan::TissueScan;
pub use voxels::Voxels;
