//! Stages without a cache: each sample's case is decoded from its files for that sample alone.
//! Samples are the same as with a cache.

use crate::actor::Stage;
use crate::base::CaseError;
use crate::brats::CaseReader;
use crate::buffers::CaseBuffers;
use crate::pipeline::{
    CaseHandle, Decode, DecodedCase, FetchedSample, Normalize, OwnedCase, PlannedSample,
    decode_case,
};
use crate::volume::{Dims, Modality};

/// Upper bound of the bytes that a sample holds of a case of `grid`: raw volumes, or a brain box as
/// large as the head.
pub const fn case_bytes(grid: Dims) -> usize {
    grid.voxel_count() * (Modality::COUNT * size_of::<i16>() + size_of::<u8>())
}

/// Bytes that a decode worker needs in addition: a whole file, and its stored voxels at four bytes
/// each.
pub fn decode_bytes(grid: Dims) -> usize {
    grid.voxel_count() * (size_of::<i16>() + size_of::<f32>())
}

/// Bytes that a case of `grid` takes on its way into the cache, where its images are whole numbers:
/// its volumes, and the content of its case file made of them.
pub const fn ingest_bytes(grid: Dims) -> usize {
    2 * case_bytes(grid)
}

/// Bytes that preparing a case takes in addition where it is resampled: one image and its tissue on the
/// `source` grid, and on the `stored` one the same, the codes of all images, and the labels.
pub const fn resampling_bytes(source: Dims, stored: Dims) -> usize {
    let image = size_of::<f32>() + size_of::<u8>();
    source.voxel_count() * image + stored.voxel_count().saturating_mul(image) + case_bytes(stored)
}

/// Stage `decode` without a cache.
#[derive(Debug, Clone)]
pub struct DecodeSample(CaseReader);

impl DecodeSample {
    /// Stage that decodes into buffers of `case_buffers`.
    pub const fn new(case_buffers: CaseBuffers) -> Self {
        Self(CaseReader::new(case_buffers))
    }
}

impl Stage for DecodeSample {
    const NAME: &'static str = Decode::NAME;
    type In = PlannedSample;
    type Out = (PlannedSample, DecodedCase);

    fn process(&mut self, planned: PlannedSample) -> Result<Self::Out, CaseError> {
        let decoded = decode_case(&self.0, planned.case_files())?;
        Ok((planned, decoded))
    }
}

/// Stage `normalize` without a cache.
#[derive(Debug, Clone)]
pub struct NormalizeSample {
    normalize: Normalize,
    case_buffers: CaseBuffers,
}

impl NormalizeSample {
    /// Stage that runs `normalize`, whose buffers come from `case_buffers`.
    pub const fn new(normalize: Normalize, case_buffers: CaseBuffers) -> Self {
        Self { normalize, case_buffers }
    }
}

impl Stage for NormalizeSample {
    const NAME: &'static str = Normalize::NAME;
    type In = (PlannedSample, DecodedCase);
    type Out = FetchedSample;

    fn process(&mut self, (planned, decoded): Self::In) -> Result<FetchedSample, CaseError> {
        let contents = self.normalize.prepare_contents(decoded)?;
        let case = CaseHandle::Owned(OwnedCase::new(contents, self.case_buffers.clone()));
        Ok(FetchedSample { planned, case, donor: None })
    }
}
