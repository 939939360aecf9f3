//! The cold path: a sample's case straight from its files, decoded for this sample alone. Nothing is
//! written, nothing is kept, and the sample is the one that the cache would have given.

use crate::actor::stage::Stage;
use crate::base::error::CaseError;
use crate::brats::case::CaseReader;
use crate::pipeline::decode::{Decode, Decoded, decode};
use crate::pipeline::fetch::FetchedSample;
use crate::pipeline::handle::{CaseHandle, OwnedCase};
use crate::pipeline::normalize::Normalize;
use crate::pipeline::plan::PlannedSample;
use crate::volume::grid::Dims;
use crate::volume::modality::Modality;
use crate::volume::shelf::CaseShelf;

/// Bytes that one sample holds of a case of `grid`, at most: raw volumes, or the brain box as large
/// as the head.
pub fn case_bytes(grid: Dims) -> usize {
    grid.voxels() * (Modality::COUNT * size_of::<i16>() + size_of::<u8>())
}

/// Bytes that a worker of decode needs beside its sample's: a whole file, and its stored voxels at
/// four bytes each.
pub fn decode_bytes(grid: Dims) -> usize {
    grid.voxels() * (size_of::<i16>() + size_of::<f32>())
}

/// Stage `decode` of the cold path.
#[derive(Debug, Clone)]
pub struct DecodeSample(CaseReader);

impl DecodeSample {
    /// Into the buffers of `shelf`.
    pub const fn new(shelf: CaseShelf) -> Self {
        Self(CaseReader::new(shelf))
    }
}

impl Stage for DecodeSample {
    const NAME: &'static str = Decode::NAME;
    type In = PlannedSample;
    type Out = (PlannedSample, Decoded);

    fn process(&mut self, planned: PlannedSample) -> Result<Self::Out, CaseError> {
        let decoded = decode(&self.0, planned.files())?;
        Ok((planned, decoded))
    }
}

/// Stage `normalize` of the cold path.
#[derive(Debug, Clone)]
pub struct NormalizeSample {
    normalize: Normalize,
    shelf: CaseShelf,
}

impl NormalizeSample {
    /// With `normalize`, whose shelf is `shelf`.
    pub const fn new(normalize: Normalize, shelf: CaseShelf) -> Self {
        Self { normalize, shelf }
    }
}

impl Stage for NormalizeSample {
    const NAME: &'static str = Normalize::NAME;
    type In = (PlannedSample, Decoded);
    type Out = FetchedSample;

    fn process(&mut self, (planned, decoded): Self::In) -> Result<FetchedSample, CaseError> {
        let contents = self.normalize.contents(decoded)?;
        let case = CaseHandle::Owned(OwnedCase::new(contents, self.shelf.clone()));
        Ok(FetchedSample { planned, case })
    }
}
